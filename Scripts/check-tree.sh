#!/bin/sh
# Rules that no compiler checks: files stay short, and scheduling and models keep to their words.
set -e
status=0
for file in $(git ls-files --cached --others --exclude-standard 'Sources/*' 'Tests/*.swift'); do
    [ -f "$file" ] || continue
    lines=$(wc -l < "$file")
    if [ "$lines" -gt 420 ]; then
        echo "$file has $lines lines; expected 420 at most" >&2
        status=1
    fi
done
if grep -nE 'CKernels|CPUBackend|quantiz|\brank' -r Sources/Models Sources/Layers; then
    echo "a model mentions kernels, backends, quantisation or ranks" >&2
    status=1
fi
if grep -nE '^(public |internal )?import (Tensors|Foundation)' -r Sources/Scheduling; then
    echo "scheduling imports more than it may" >&2
    status=1
fi
exit $status
