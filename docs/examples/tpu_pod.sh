#!/bin/bash
# One run on all hosts of a TPU pod slice: bash docs/examples/tpu_pod.sh NAME ZONE
# Before, on all workers in the same way: a clone of the repository in ~/asae, with
# .venv/bin/pip install -r requirements.txt "jax[tpu]", and the images under ~/asae/cells (a bucket mounted
# read-only will do). The run folder is written by worker 0 alone.
set -euo pipefail
name=$1 zone=$2

gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="cd asae && \
  .venv/bin/python main.py --config=configs/resnet50_asae.py --workdir=runs/mine \
  --config.data.source=folder --config.data.path=cells --config.model.dtype=bfloat16 \
  --config.train.batch_size=0 --config.train.distributed=auto"
