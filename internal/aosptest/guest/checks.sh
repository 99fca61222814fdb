# SPDX-License-Identifier: Apache-2.0
#
# For programs that are not gtest's: says what happens in gtest's words.
#
#	begin N			N checks follow
#	check NAME COMMAND...	one of them; it passes if the command succeeds
#	finish			the script's last line

ran=0
failures=0

begin() { echo "[==========] Running $1 tests from 1 test suite."; }

check() {
	name=$1
	shift
	echo "[ RUN      ] $name"
	if "$@"; then
		echo "[       OK ] $name (0 ms)"
	else
		echo "[  FAILED  ] $name (0 ms)"
		failures=$((failures + 1))
	fi
	ran=$((ran + 1))
}

finish() {
	echo "[==========] $ran tests from 1 test suite ran. (0 ms total)"
	[ $failures = 0 ]
}

# says TEXT COMMAND...: the command's output, which is shown, has TEXT in it. Its exit code does not matter: binder-call's
# is 2 after a good call.
says() {
	wanted=$1
	shift
	output=$("$@" 2>&1)
	echo "$output"
	case $output in
		*"$wanted"*) ;;
		*) echo "expected: $wanted"; return 1 ;;
	esac
}
