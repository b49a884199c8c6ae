# Sourced by the steps: packages from Debian, and the one exit status that means "could not be reached".

# EX_TEMPFAIL. `run` fails on it in the short run and ends a full run as "not run".
readonly UNREACHED=75

unreached() {
	echo "not run: $*" >&2
	exit "$UNREACHED"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# packages NAME...: installs what is missing; the lists are refreshed once, when a name is not found in the old ones.
packages() {
	local missing=() name
	for name in "$@"; do
		dpkg-query -W -f '${Status}\n' "$name" 2> /dev/null | grep -q 'ok installed' || missing+=("$name")
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	echo "installing ${missing[*]}"
	install_packages "${missing[@]}" && return 0
	as_root apt-get update -qq || unreached "Debian's package lists"
	install_packages "${missing[@]}" || unreached "Debian packages: ${missing[*]}"
}

install_packages() {
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "$@" < /dev/null > /dev/null
}

# The published libraries, as the workspace lists them.
libraries() {
	cargo metadata --locked --no-deps --format-version 1 | python3 -c '
import json, sys
for package in json.load(sys.stdin)["packages"]:
    if package["publish"] is None and not any("bin" in target["kind"] for target in package["targets"]):
        print(package["name"])'
}

target_dir() {
	cargo metadata --locked --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# debian_rustc DIR VERSION [PACKAGE...]: unpacks Debian's rustc-web of that version (a prefix) and its libraries into DIR,
# beside whatever Rust the machine has, and leaves a `DIR/rustc` that runs it. PACKAGEs come along.
debian_rustc() {
	local dir=$1 version=$2 full list
	full=$(apt-cache madison rustc-web | awk -v v="$version" 'index($3, v) == 1 { print $3; exit }')
	if [ -z "$full" ]; then
		as_root apt-get update -qq || unreached "Debian's package lists"
		full=$(apt-cache madison rustc-web | awk -v v="$version" 'index($3, v) == 1 { print $3; exit }')
	fi
	[ -n "$full" ] || unreached "rustc-web $version of Debian"
	list=$(apt-get install -s -qq --no-install-recommends "rustc-web=$full" "libstd-rust-web-dev=$full" "${@:3}" |
		sed -n 's/^Inst \([^ ]*\) .*(\([^ ]*\) .*/\1=\2/p')
	mkdir -p "$dir/debs"
	# shellcheck disable=SC2086 # one package a word
	(cd "$dir/debs" && apt-get download -qq $list < /dev/null 2> "$dir/apt.log") || { cat "$dir/apt.log" >&2; unreached "rustc-web $full"; }
	for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir"; done
	rm -rf "$dir/debs"
	cat > "$dir/rustc" <<-END
		#!/bin/sh
		export LD_LIBRARY_PATH=$dir/usr/lib/$(uname -m)-linux-gnu
		exec $dir/usr/bin/rustc "\$@"
	END
	chmod +x "$dir/rustc"
	"$dir/rustc" --version
}

# Debian's archive as this machine knows it; its keys are the ones that it trusts anyway.
readonly DEBIAN_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg
debian_archive() {
	local found
	found=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | sort -u | sed -n 1p)
	[ -n "$found" ] || unreached "a Debian archive among this machine's package sources"
	echo "$found"
}

# debian_source DIR PACKAGE: unpacks what its authors released of the source of Debian's current PACKAGE into DIR, without
# Debian's changes. DIR is absolute and has package lists of its own.
debian_source() {
	local dir=$1 package=$2 archive suite
	archive=$(debian_archive)
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial"
	: > "$dir/apt/status"
	for suite in stable testing oldstable; do
		echo "deb-src [signed-by=$DEBIAN_KEYS] $archive $suite main" > "$dir/apt/sources.list"
		source_apt "$dir" update && source_apt "$dir" source --download-only --tar-only "$package" && break
	done
	local files=("$dir"/*.orig.tar.*)
	[ -e "${files[0]}" ] || { cat "$dir/apt/log" >&2; unreached "the source of Debian's $package"; }
	tar xf "${files[0]}" -C "$dir" --strip-components=1
	rm -rf "${files[@]}" "$dir/apt"
}
source_apt() {
	(cd "$1" && apt-get -qq -o "Dir::State=$1/apt" -o "Dir::State::status=$1/apt/status" -o "Dir::Cache=$1/apt" \
		-o "Dir::Etc::sourcelist=$1/apt/sources.list" -o "Dir::Etc::sourceparts=/dev/null" "${@:2}" < /dev/null > apt/log 2>&1)
}
