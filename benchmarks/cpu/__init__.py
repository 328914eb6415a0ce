"""minidiff beside PyTorch on a CPU:  python -m benchmarks.cpu --help"""
