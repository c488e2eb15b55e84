#!/bin/sh
# What `make bench` needs besides nnc, in the folder CACHE: the exported architectures in $ARCH (default CACHE/arch) and
# the library of ONNX Runtime. Prints the path of the library. What is there already stays.
#   usage: prepare.sh CACHE EXPORT_ARCH.py
set -eu
cache=$1 export=$2 version=1.30.0
arch=${ARCH:-$cache/arch}
python=${PYTHON:-/usr/bin/python3}
mkdir -p "$cache"

if ! ls "$arch"/*.onnx >/dev/null 2>&1; then
  if ! "$python" -c 'import torch, torchvision, onnx' 2>/dev/null; then
    echo "bench: no models in $arch, and $python lacks what exports them; install it with: apt-get install -y python3-torch python3-torchvision python3-onnx" >&2
    exit 1
  fi
  mkdir -p "$arch.part"
  OUT=$arch.part "$python" "$export" >&2
  mv "$arch.part" "$arch"
fi

if [ -n "${ORT_LIB:-}" ]; then
  echo "$ORT_LIB"
  exit
fi
case $(uname -s)/$(uname -m) in
Linux/x86_64) lib=linux/x64/libonnxruntime.so.1 ;;
Linux/aarch64) lib=linux/arm64/libonnxruntime.so.1 ;;
Darwin/arm64) lib=darwin/arm64/libonnxruntime.1.dylib ;;
*) echo "bench: no package of ONNX Runtime for this machine is known; set ORT_LIB" >&2; exit 1 ;;
esac
lib=$cache/ort/package/bin/napi-v6/$lib
if [ ! -e "$lib" ]; then
  mkdir -p "$cache/ort"
  (cd "$cache/ort" && npm pack --silent "onnxruntime-node@$version" >&2 && tar -xzf "onnxruntime-node-$version.tgz") ||
    { echo "bench: npm cannot get onnxruntime-node@$version; set ORT_LIB" >&2; exit 1; }
fi
echo "$lib"
