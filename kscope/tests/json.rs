//! JSON.md: every example in it is run and compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    missing_docs,
    reason = "tests"
)]

mod support;

use serde_json::{Deserializer, Value, json};
use support::{kscope, workspace};

/// The name in an example that stands for any name.
const ANY: &str = "…";

fn values(text: &str) -> Vec<Value> {
    Deserializer::from_str(text)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap()
}

/// Commands and the values that they print, of which those in scalars may differ.
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

/// Whether `real` has the form of the example.
fn fits(example: &Value, real: &Value) -> bool {
    match (example, real) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(_), Value::Bool(_)) => true,
        (Value::Number(_), Value::Number(number)) => number.is_u64(),
        (Value::String(example), Value::String(real)) => !is_hex(example) || is_hex(real),
        (Value::Array(forms), Value::Array(reals)) => reals
            .iter()
            .all(|real| forms.iter().any(|form| fits(form, real))),
        (Value::Object(example), Value::Object(real)) => match example.get(ANY) {
            Some(value) => !real.is_empty() && real.values().all(|real| fits(value, real)),
            None => {
                example.keys().eq(real.keys())
                    && real.iter().all(|(key, real)| fits(&example[key], real))
            }
        },
        _ => false,
    }
}

#[test]
fn every_example_is_what_the_command_prints() {
    let examples = examples();
    assert_eq!(examples.len(), 8);
    for (command, forms) in examples {
        let args: Vec<&str> = command.iter().map(String::as_str).collect();
        let outcome = kscope(&args);
        let printed = values(&outcome.stdout);
        assert!(!printed.is_empty(), "{command:?}");
        for real in &printed {
            assert!(
                forms.iter().any(|form| fits(form, real)),
                "{command:?}: {real:#}"
            );
        }
    }
}

#[test]
fn the_comparison_can_fail() {
    for (example, real) in [
        (json!({"a": 1}), json!({"b": 1})),
        (json!({"a": 1}), json!({"a": 1, "b": 1})),
        (json!({"a": 1}), json!({"a": -1})),
        (json!({"a": "0x1"}), json!({"a": "0x01"})),
        (json!({"a": "0x1"}), json!({"a": "0xA"})),
        (json!({"a": "0x1"}), json!({"a": null})),
        (json!([1]), json!([1, "x"])),
        (json!({"…": 1}), json!({"x": "y"})),
    ] {
        assert!(!fits(&example, &real), "{example} {real}");
    }
    assert!(fits(
        &json!({"…": ["0x1", null]}),
        &json!({"x": [null, "0xff"]})
    ));
}
