# SPDX-License-Identifier: Apache-2.0
#
# What the scripts share. All that a session starts is in one control group, by which it ends.

group=/sys/fs/cgroup/aosp

join() {
	mkdir -p $group
	echo $$ >$group/cgroup.procs
}

# leave STATUS: ends the session and everything in it.
leave() {
	echo $$ >/sys/fs/cgroup/cgroup.procs
	end_all || exit 98
	exit "$1"
}

# end_all: kills what is in the group and waits until it is gone.
end_all() {
	[ -d $group ] || return 0
	echo 1 >$group/cgroup.kill
	wait_for 600 grep -q '^populated 0' $group/cgroup.events
}

# wait_for N COMMAND...: tries it until it succeeds, N times, 50 ms apart.
wait_for() {
	tries=$1
	shift
	while ! "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { echo "not in time: $*" >&2; return 1; }
		sleep 0.05
	done
}

# start_manager COMMAND...: returns when it waits for calls, in epoll_wait or epoll_pwait.
start_manager() {
	"$@" </dev/null >/tmp/servicemanager.log 2>&1 &
	wait_for 600 grep -qE '^(232|281) ' /proc/$!/syscall
}

# start_service NAME [DEVICE]: a service on libgbinder; fails when servicemanager does not take it.
start_service() {
	gbinder-service -d "${2:-/dev/binder}" "$1" </dev/null >/tmp/"$1".log 2>&1 &
	service_pid=$!
	wait_for 600 service_settled "$1" && grep -q '^registered' /tmp/"$1".log || { cat /tmp/"$1".log >&2; return 1; }
}

service_settled() { grep -q '^registered' /tmp/"$1".log || ! kill -0 $service_pid; }
