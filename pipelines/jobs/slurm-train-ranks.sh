#!/usr/bin/env bash
# A training by several processes, on one node or several, as a Slurm job that goes on by itself until it is done.
#
#   DATASET=/datasets/mine RUN=/runs/mine CONFIG=pipelines/studies/train.toml RANKS=8 bash pipelines/jobs/slurm-train-ranks.sh
#
# PROGRAM is a trainer built with `--features mpi`. RANKS processes take parts of each batch; the result is that of one process to the last digits of single
# precision, and a run goes on under another number of ranks. Before the time limit every process gets SIGTERM: all stop at the same step with
# a checkpoint, and the job goes back into the queue. Slurm needs PMIx (`srun --mpi=list`).
set -euo pipefail
: "${DATASET:?folder of the dataset}" "${RUN:?folder of the run}" "${CONFIG:?settings}"
: "${PROGRAM:=mtids-train}" "${RANKS:=2}" "${CPUS:=4}" "${MINUTES:=240}" "${NOTICE:=120}"
command=$(printf '%q ' "$PROGRAM" fit --threads "$CPUS" --config "$CONFIG" --dataset "$DATASET" --run "$RUN")
evaluation=$(printf '%q ' "$PROGRAM" evaluate --dataset "$DATASET" --run "$RUN")
sbatch --requeue --open-mode=append --signal="B:TERM@$NOTICE" --time="$MINUTES" --ntasks="$RANKS" --cpus-per-task="$CPUS" \
  --job-name=mtids-train <<EOF
#!/usr/bin/env bash
srun --mpi=pmix --kill-on-bad-exit=1 --cpus-per-task="$CPUS" $command &
# srun would end the processes if it had the signal itself; the step hands it to them.
trap 'scancel --signal=TERM "\$SLURM_JOB_ID.0"' TERM
# The first wait ends with the signal, the next one with the trainers.
wait \$!
code=\$?
while kill -0 \$! 2>/dev/null; do wait \$!; code=\$?; done
[ \$code -ne 4 ] || exec scontrol requeue "\$SLURM_JOB_ID"
[ \$code -eq 0 ] || exit \$code
exec $evaluation
EOF
