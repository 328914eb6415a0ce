// CUDA C on the CPU: enough of the language to run a kernel with right numbers, and to catch it misbehaving.
//
// Every CUDA thread is a fibre. One block runs at a time; a fibre runs until it ends or waits at a barrier, then the
// next one runs. What this finds: a barrier that not all threads reach, shared memory read before it is written (it
// starts as NaN in every block), and, since threads and blocks can also be run from last to first, results that hang
// on an order nobody promised. With g++'s sanitizers: accesses out of bounds and undefined arithmetic.
// What it cannot find: anything about speed, and races within what runs between two barriers of one thread.
#pragma once
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#define __global__
#define __device__ static inline
#define __forceinline__
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static __attribute__((section("cuda_shared")))

struct dim3 {
  unsigned x, y, z;
};
struct uint4 {
  unsigned x, y, z, w;
};
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

extern char __start_cuda_shared[] __attribute__((weak));  // the linker's names for the two ends of that section
extern char __stop_cuda_shared[] __attribute__((weak));

namespace cpu {

enum State { READY, AT_BLOCK_BARRIER, AT_WARP_BARRIER, DONE };

struct Fibre {
  ucontext_t context;
  std::vector<char> stack;
  dim3 thread;
  int number;  // within its block; its warp is number / 32, its lane number % 32
  State state;
  double posted;  // what it shows the other lanes of its warp
};

static const size_t STACK = 64 * 1024;
static std::vector<Fibre> fibres;
static Fibre* current;
static ucontext_t scheduler;
static dim3 grid, block, block_index;
static void (*kernel)(void**);
static void** arguments;

static void wait(State where) {
  current->state = where;
  swapcontext(&current->context, &scheduler);
}

static void body() {
  kernel(arguments);
  current->state = DONE;  // returning goes back to the scheduler: uc_link
}

// Opens every barrier at which all have arrived. Returns what is wrong when none has.
static const char* open_barriers() {
  size_t total = fibres.size(), at_block = 0, at_warp = 0;
  for (Fibre& f : fibres) at_block += f.state == AT_BLOCK_BARRIER, at_warp += f.state == AT_WARP_BARRIER;
  if (at_block == total) {
    for (Fibre& f : fibres) f.state = READY;
    return nullptr;
  }
  bool opened = false;
  for (size_t first = 0; first < total; first += 32) {
    size_t last = std::min(first + 32, total), arrived = 0;
    for (size_t i = first; i < last; i++) arrived += fibres[i].state == AT_WARP_BARRIER;
    if (arrived == last - first) {
      for (size_t i = first; i < last; i++) fibres[i].state = READY;
      opened = true;
    }
  }
  if (opened) return nullptr;
  return at_warp ? "a warp function is not reached by all lanes of the warp"
                 : "__syncthreads is not reached by all threads of the block";
}

static const char* run_block(bool backwards) {
  if (__start_cuda_shared) memset(__start_cuda_shared, 0xFF, __stop_cuda_shared - __start_cuda_shared);  // that is NaN
  int total = (int)fibres.size();
  for (int i = 0; i < total; i++) {
    Fibre& f = fibres[i];
    f.thread = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    f.number = i;
    f.state = READY;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.data();
    f.context.uc_stack.ss_size = f.stack.size();
    f.context.uc_link = &scheduler;
    makecontext(&f.context, body, 0);
  }
  for (;;) {
    int ran = 0, done = 0;
    for (int k = 0; k < total; k++) {
      Fibre& f = fibres[backwards ? total - 1 - k : k];
      if (f.state == READY) {
        current = &f;
        swapcontext(&scheduler, &f.context);
        ran++;
      }
      done += f.state == DONE;
    }
    if (done == total) return nullptr;
    if (!ran) {
      const char* wrong = open_barriers();
      if (wrong) return wrong;
    }
  }
}

static const char* launch(void (*function)(void**), void** args, dim3 g, dim3 b, bool backwards) {
  kernel = function, arguments = args, grid = g, block = b;
  fibres.resize((size_t)b.x * b.y * b.z);
  for (Fibre& f : fibres) f.stack.resize(STACK);
  size_t blocks = (size_t)g.x * g.y * g.z;
  for (size_t k = 0; k < blocks; k++) {
    size_t i = backwards ? blocks - 1 - k : k;
    block_index = {(unsigned)(i % g.x), (unsigned)(i / g.x % g.y), (unsigned)(i / ((size_t)g.x * g.y))};
    const char* wrong = run_block(backwards);
    if (wrong) return wrong;
  }
  return nullptr;
}

// The value that lane `from` of this warp holds; a lane that is not there gives one's own, as on the card.
template <class T>
static T from_lane(T value, int from) {
  int first = current->number / 32 * 32, lane = current->number % 32;
  int lanes = std::min<int>(32, (int)fibres.size() - first);
  memcpy(&current->posted, &value, sizeof value);
  wait(AT_WARP_BARRIER);
  T theirs;
  memcpy(&theirs, &fibres[first + (from >= 0 && from < lanes ? from : lane)].posted, sizeof theirs);
  wait(AT_WARP_BARRIER);
  return theirs;
}

}  // namespace cpu

#define threadIdx (cpu::current->thread)
#define blockIdx (cpu::block_index)
#define blockDim (cpu::block)
#define gridDim (cpu::grid)
#define __syncthreads() cpu::wait(cpu::AT_BLOCK_BARRIER)
#define __syncwarp() cpu::wait(cpu::AT_WARP_BARRIER)
#define __shfl_sync(mask, value, lane) cpu::from_lane(value, lane)
#define __shfl_xor_sync(mask, value, bits) cpu::from_lane(value, (cpu::current->number % 32) ^ (bits))
#define __shfl_down_sync(mask, value, by) cpu::from_lane(value, cpu::current->number % 32 + (by))

template <class T>
static T atomicAdd(T* where, T value) {
  T before = *where;
  *where = before + value;
  return before;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
