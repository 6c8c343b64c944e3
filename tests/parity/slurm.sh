#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, for checks: `slurm.sh start DIR` writes its configuration and starts it, `slurm.sh stop DIR` ends
# it. Needs root and Debian's slurmctld, slurmd, slurm-client and munge. SLURM_CONF=DIR/slurm.conf names it to sbatch.
set -euo pipefail
action=$1 dir=$(realpath -m "$2")

start() {
  local host cpus
  host=$(hostname -s) cpus=$(nproc)
  mkdir -p "$dir"/{munge,state,spool}
  head -c 128 /dev/urandom >"$dir/munge/key"
  chmod 0700 "$dir/munge"
  chmod 0400 "$dir/munge/key"
  munged --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" \
    --seed-file="$dir/munge/seed"
  cat >"$dir/slurm.conf" <<EOF
ClusterName=check
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
KillWait=5
SchedulerParameters=bf_interval=1,sched_min_interval=100000,requeue_delay=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
PartitionName=check Nodes=$host Default=YES MaxTime=INFINITE State=UP
EOF
  # Slurm looks for the version by itself, but takes a machine with both for one of the second.
  echo "CgroupPlugin=$([ -d /sys/fs/cgroup/cpu ] && echo cgroup/v1 || echo autodetect)" >"$dir/cgroup.conf"
  export SLURM_CONF=$dir/slurm.conf
  slurmctld -f "$SLURM_CONF"
  slurmd -f "$SLURM_CONF"
  for _ in $(seq 100); do
    [ "$(sinfo --noheader --format=%t 2>/dev/null | head -1)" = idle ] && return
    sleep 0.3
  done
  tail -5 "$dir"/slurm{ctld,d}.log >&2
  echo "Slurm did not start" >&2
  return 1
}

stop() {
  export SLURM_CONF=$dir/slurm.conf
  scontrol shutdown >/dev/null 2>&1 || true
  local pid
  for pid in slurmd.pid slurmctld.pid munge/pid; do
    [ ! -f "$dir/$pid" ] || kill "$(cat "$dir/$pid")" 2>/dev/null || true
  done
}

"$action"
