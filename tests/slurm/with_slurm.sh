#!/usr/bin/env bash
# tests/slurm/with_slurm.sh COMMAND...: a Slurm of one node that lives as long as the command.
#
# Root on Debian or Ubuntu; missing packages are installed. The daemons, their loopback and
# /etc/slurm lie in namespaces that nobody else sees and that end with the command, however it ends.
# Where that cannot be had, a line says what is missing, and the status is 77.
#
# CPUS, MEMORY_MB: a node larger than the machine, for trying many jobs at once.
set -euo pipefail

PACKAGES=(slurmctld slurmd slurm-client munge iproute2)
HOME_OF_SLURM=/etc/slurm # the executor plugin drops SLURM_CONF from the environment of jobs

missing() {
    echo "slurm: skipped, nothing was run; missing: $*"
    exit 77
}

has_slurm() {
    local program
    for program in slurmctld slurmd sbatch munged ip; do
        command -v $program > /dev/null || return 1
    done
}

# Installing must not start what Debian would start: policy-rc.d forbids it meanwhile.
install_slurm() {
    command -v apt-get > /dev/null || missing "Slurm (${PACKAGES[*]}), and apt-get to install it"
    local policy=/usr/sbin/policy-rc.d log
    log=$(mktemp)
    trap 'rm -f "$log"' RETURN
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' > $policy && chmod +x $policy
        trap 'rm -f "$log" '$policy RETURN
    fi
    echo "slurm: installing ${PACKAGES[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get -qq update && apt-get -qq install --yes --no-install-recommends \
        "${PACKAGES[@]}"; } > "$log" 2>&1; then
        tail -n 3 "$log"
        missing "Slurm (${PACKAGES[*]}), which apt-get does not install"
    fi
}

configuration() {
    cat << CONF
ClusterName=one
SlurmctldHost=localhost(127.0.0.1)
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$HOME_OF_SLURM/munge/socket
SlurmUser=root
StateSaveLocation=$HOME_OF_SLURM/state
SlurmdSpoolDir=$HOME_OF_SLURM/spool
SlurmctldPidFile=$HOME_OF_SLURM/slurmctld.pid
SlurmdPidFile=$HOME_OF_SLURM/slurmd.pid
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0
ReturnToService=2
MinJobAge=3600
KillWait=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$1 RealMemory=$2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
}

# In sessions of their own: Ctrl-C is for the command.
daemon() { setsid "$@" > "$HOME_OF_SLURM/$1.out" 2>&1 < /dev/null & }

wait_for() {
    local tries
    for tries in {1..200}; do
        if "$@" > /dev/null 2>&1; then return; fi
        sleep 0.1
    done
    tail -n 20 $HOME_OF_SLURM/*.out
    echo "slurm: does not start: still not true after 20 s: $*"
    exit 1
}

is_idle() { timeout 2 sinfo --noheader --format=%T | grep -qx idle; }

# First process of its namespaces: when it ends, so does all that it started.
within() {
    local cpus=${CPUS:-$(getconf _NPROCESSORS_ONLN)} # nproc would obey OMP_NUM_THREADS
    local memory_mb=${MEMORY_MB:-$(awk '/^MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo)}
    unset INSIDE
    ip link set lo up
    ip address add 10.255.255.254/32 dev lo # else Slurm resolves no name (AI_ADDRCONFIG)
    hostname localhost
    mount -t tmpfs -o mode=755 tmpfs $HOME_OF_SLURM
    mkdir $HOME_OF_SLURM/{state,spool,munge}
    configuration "$cpus" "$memory_mb" > $HOME_OF_SLURM/slurm.conf
    (umask 077 && head -c 1024 /dev/urandom > $HOME_OF_SLURM/munge/key)
    local munge=$HOME_OF_SLURM/munge
    daemon munged --foreground --key-file=$munge/key --socket=$munge/socket \
        --pid-file=$munge/pid --log-file=$munge/log --seed-file=$munge/seed
    wait_for test -S $munge/socket
    daemon slurmctld -D
    daemon slurmd -D
    wait_for is_idle
    local status=0
    "$@" || status=$?
    exit $status
}

if [ -n "${INSIDE:-}" ]; then within "$@"; fi
[ "$(id -u)" = 0 ] || missing "root"
has_slurm || install_slurm
private=(unshare --mount --net --uts --pid --fork --kill-child --mount-proc)
"${private[@]}" true 2> /dev/null || missing "leave to make namespaces (${private[*]})"
mkdir -p $HOME_OF_SLURM
INSIDE=yes exec "${private[@]}" "$BASH" "$(realpath "$0")" "$@"
