#!/usr/bin/env bash
# A training as a Slurm job that goes on by itself until it is done.
#
#   DATASET=/datasets/mine RUN=/runs/mine CONFIG=pipelines/studies/train.toml MINUTES=240 bash pipelines/jobs/slurm-train.sh
#
# Two minutes before the time limit, and when the job is preempted, Slurm sends SIGTERM. The trainer saves a checkpoint and ends with exit code 4, and
# the job goes back into the queue. A node that dies costs the steps since the last checkpoint: Slurm queues the job again. Evaluation follows in
# the same job. The result is that of an unbroken run, byte for byte.
set -euo pipefail
: "${DATASET:?folder of the dataset}" "${RUN:?folder of the run}" "${CONFIG:?settings}"
: "${PROGRAM:=mtids-train}" "${CPUS:=4}" "${MINUTES:=240}" "${NOTICE:=120}"
command=$(printf '%q ' "$PROGRAM" fit --config "$CONFIG" --dataset "$DATASET" --run "$RUN")
evaluation=$(printf '%q ' "$PROGRAM" evaluate --dataset "$DATASET" --run "$RUN")
sbatch --requeue --open-mode=append --signal="B:TERM@$NOTICE" --time="$MINUTES" --cpus-per-task="$CPUS" --job-name=mtids-train <<EOF
#!/usr/bin/env bash
$command &
trap 'kill -TERM \$!' TERM
# The first wait ends with the signal, the next one with the trainer.
wait \$!
code=\$?
while kill -0 \$! 2>/dev/null; do wait \$!; code=\$?; done
[ \$code -ne 4 ] || exec scontrol requeue "\$SLURM_JOB_ID"
[ \$code -eq 0 ] || exit \$code
exec $evaluation
EOF
