//! JSON.md: every example in it is run and compared.

use serde_json::{Deserializer, Value, json};

use crate::support::{kscope, workspace};

/// The name in an example that stands for any name.
const ANY: &str = "…";

fn values(text: &str) -> Vec<Value> {
    Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Commands and the values that they print, shortened.
fn examples() -> Vec<(Vec<String>, Vec<Value>)> {
    let text = std::fs::read_to_string(workspace().join("kscope/JSON.md")).unwrap();
    let mut examples = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, tail)) = rest.split_once("```console\n$ kscope ") {
        let (command, tail) = tail.split_once("\n```\n```json\n").unwrap();
        let (object, tail) = tail.split_once("```").unwrap();
        let command = command.split(' ').map(str::to_owned).collect();
        examples.push((command, values(object)));
        rest = tail;
    }
    examples
}

/// An address as the examples and everything printed must spell it.
fn is_hex(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("0x") else {
        return false;
    };
    let lower = |c: char| matches!(c, '0'..='9' | 'a'..='f');
    digits == "0" || (!digits.is_empty() && !digits.starts_with('0') && digits.chars().all(lower))
}

/// Whether `real` is what is shown: the same but for what lists and `…` leave out, and there nothing
/// of a form that is not shown.
fn shows(example: &Value, real: &Value) -> bool {
    match (example, real) {
        (Value::Array(shown), Value::Array(reals)) => {
            same_form(example, real)
                && shown
                    .iter()
                    .all(|example| reals.iter().any(|real| shows(example, real)))
        }
        (Value::Object(shown), Value::Object(reals)) => match shown.get(ANY) {
            Some(value) => {
                same_form(example, real) && reals.values().any(|real| shows(value, real))
            }
            None => {
                shown.keys().eq(reals.keys())
                    && reals.iter().all(|(key, real)| shows(&shown[key], real))
            }
        },
        _ => example == real,
    }
}

/// Whether `real` could stand in the place of the example.
fn same_form(example: &Value, real: &Value) -> bool {
    match (example, real) {
        (Value::Null, Value::Null) | (Value::Bool(_), Value::Bool(_)) => true,
        (Value::Number(_), Value::Number(number)) => number.is_u64(),
        (Value::String(example), Value::String(real)) => is_hex(example) == is_hex(real),
        (Value::Array(forms), Value::Array(reals)) => {
            forms.is_empty() == reals.is_empty()
                && reals
                    .iter()
                    .all(|real| forms.iter().any(|form| same_form(form, real)))
        }
        (Value::Object(example), Value::Object(real)) => match example.get(ANY) {
            Some(value) => !real.is_empty() && real.values().all(|real| same_form(value, real)),
            None => {
                example.keys().eq(real.keys())
                    && real
                        .iter()
                        .all(|(key, real)| same_form(&example[key], real))
            }
        },
        _ => false,
    }
}

#[test]
fn every_example_is_what_the_command_prints() {
    let examples = examples();
    assert_eq!(examples.len(), 27);
    for (command, mut shown) in examples {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let printed = values(&kscope(&args).stdout);
        // A list of lines is shortened as a list of elements is.
        if shown.pop_if(|last| last == ANY).is_some() {
            let (shown, printed) = (Value::Array(shown), Value::Array(printed));
            assert!(shows(&shown, &printed), "{command:?}");
            continue;
        }
        assert_eq!(printed.len(), shown.len(), "{command:?}");
        for (example, real) in shown.iter().zip(&printed) {
            assert!(shows(example, real), "{command:?}: {real:#}");
        }
    }
}

#[test]
fn the_comparison_can_fail() {
    for (example, real) in [
        (json!({"a": 1}), json!({"b": 1})),
        (json!({"a": 1}), json!({"a": 1, "b": 1})),
        (json!({"a": 1}), json!({"a": 2})),
        (json!({"a": "b"}), json!({"a": "c"})),
        (json!({"a": null}), json!({"a": 1})),
        (json!([1]), json!([])),
        (json!([]), json!([1])),
        (json!([1]), json!([2, 3])),
        (json!([1]), json!([1, -1])),
        (json!([1]), json!([1, "x"])),
        (json!(["0x1"]), json!(["0x1", "0x01"])),
        (json!(["0x1"]), json!(["0x1", "0xA"])),
        (json!(["a"]), json!(["a", "0x1"])),
        (json!({"…": 1}), json!({})),
        (json!({"…": 1}), json!({"x": 2})),
        (json!({"…": 1}), json!({"x": 1, "y": "z"})),
    ] {
        assert!(!shows(&example, &real), "{example} {real}");
    }
    assert!(shows(
        &json!({"…": ["0x1", null]}),
        &json!({"x": [null, "0xff", "0x1"], "y": ["0x2"]})
    ));
}
