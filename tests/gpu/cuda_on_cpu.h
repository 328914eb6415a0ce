// CUDA C on the CPU: enough of the language to run a kernel with right numbers, and to catch it misbehaving.
//
// One block runs at a time; a thread runs until it ends or waits at a barrier, then the next one runs. A fibre carries
// thread after thread, and stays with the first that has to wait: a kernel without barriers needs a single one. Fibres wait
// for the next block between blocks, since making one costs two system calls. What this
// finds: a barrier that not all threads reach, shared memory read before it is written (it
// starts as NaN in every block), and, since threads and blocks can also be run from last to first, results that hang
// on an order nobody promised. With g++'s sanitizers: accesses out of bounds and undefined arithmetic.
// What it cannot find: anything about speed, and races within what runs between two barriers of one thread.
#pragma once
#include <setjmp.h>
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

struct Thread {
  dim3 index;
  int number;  // within its block; its warp is number / 32, its lane number % 32
  State state;
  int fibre;      // the one that carries it
  double posted[2];  // what it shows the other lanes of its warp, in turn: they may still read what it showed before
  int turn;
};

struct Fibre {
  ucontext_t context;
  jmp_buf place;  // where it waits
  std::vector<char> stack;
};

static const size_t STACK = 64 * 1024;
static std::vector<Thread> threads;
static std::vector<Fibre> fibres;
static Thread* current;
static ucontext_t scheduler;
static jmp_buf scheduler_place;
static dim3 grid, block, block_index;
static void (*kernel)(void**);
static void** arguments;
static int total, begun;
static bool backwards;

static Thread& in_order(int k) { return threads[backwards ? total - 1 - k : k]; }

// To and from a fibre. swapcontext asks the system for the signal mask every time, which is most of a run; a jump does not.
// The address sanitizer has to see a change of stacks, and gets the slow way.
#ifdef __SANITIZE_ADDRESS__
static void enter(Fibre& f, bool) { swapcontext(&scheduler, &f.context); }
static void leave(Fibre& f) { swapcontext(&f.context, &scheduler); }
#else
static void enter(Fibre& f, bool fresh) {
  if (_setjmp(scheduler_place)) return;
  if (fresh) setcontext(&f.context);
  _longjmp(f.place, 1);
}
static void leave(Fibre& f) {
  if (!_setjmp(f.place)) _longjmp(scheduler_place, 1);
}
#endif

static void wait(State where) {
  current->state = where;
  leave(fibres[current->fibre]);
}

static void carry(int fibre) {
  for (;;) {
    while (begun < total) {
      current = &in_order(begun++);
      current->fibre = fibre;
      kernel(arguments);
      current->state = DONE;
    }
    leave(fibres[fibre]);  // until the next block
  }
}

static void make_fibre() {
  int number = fibres.size();
  Fibre& f = fibres.emplace_back();
  f.stack.resize(STACK);
  getcontext(&f.context);
  f.context.uc_stack.ss_sp = f.stack.data();
  f.context.uc_stack.ss_size = f.stack.size();
  makecontext(&f.context, (void (*)())carry, 1, number);
}

// Opens every barrier at which all have arrived. Returns what is wrong when none has.
static const char* open_barriers() {
  int at_block = 0, at_warp = 0;
  for (Thread& t : threads) at_block += t.state == AT_BLOCK_BARRIER, at_warp += t.state == AT_WARP_BARRIER;
  if (at_block == total) {
    for (Thread& t : threads) t.state = READY;
    return nullptr;
  }
  bool opened = false;
  for (int first = 0; first < total; first += 32) {
    int last = std::min(first + 32, total), arrived = 0;
    for (int i = first; i < last; i++) arrived += threads[i].state == AT_WARP_BARRIER;
    if (arrived == last - first) {
      for (int i = first; i < last; i++) threads[i].state = READY;
      opened = true;
    }
  }
  if (opened) return nullptr;
  return at_warp ? "a warp function is not reached by all lanes of the warp"
                 : "__syncthreads is not reached by all threads of the block";
}

static const char* run_block() {
  if (__start_cuda_shared) memset(__start_cuda_shared, 0xFF, __stop_cuda_shared - __start_cuda_shared);  // that is NaN
  for (int i = 0; i < total; i++) {
    dim3 index = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    threads[i] = {index, i, READY, 0, {0.0, 0.0}, 0};
  }
  begun = 0;
  for (int used = 0; begun < total; used++) {
    bool fresh = used == (int)fibres.size();
    if (fresh) make_fibre();
    enter(fibres[used], fresh);
  }
  for (;;) {
    int ran = 0, done = 0;
    for (int k = 0; k < total; k++) {
      Thread& t = in_order(k);
      if (t.state == READY) {
        current = &t;
        enter(fibres[t.fibre], false);
        ran++;
      }
      done += t.state == DONE;
    }
    if (done == total) return nullptr;
    if (!ran) {
      const char* wrong = open_barriers();
      if (wrong) return wrong;
    }
  }
}

static const char* launch(void (*function)(void**), void** args, dim3 g, dim3 b, bool last_to_first) {
  kernel = function, arguments = args, grid = g, block = b, backwards = last_to_first;
  total = b.x * b.y * b.z;
  threads.resize(total);
  if (fibres.empty()) fibres.reserve(1024);  // they must not move: a context points into itself
  size_t blocks = (size_t)g.x * g.y * g.z;
  for (size_t k = 0; k < blocks; k++) {
    size_t i = backwards ? blocks - 1 - k : k;
    block_index = {(unsigned)(i % g.x), (unsigned)(i / g.x % g.y), (unsigned)(i / ((size_t)g.x * g.y))};
    const char* wrong = run_block();
    if (wrong) {
      fibres.clear();  // some of them wait at a barrier that never opens
      return wrong;
    }
  }
  return nullptr;
}

// The value that lane `from` of this warp holds; a lane that is not there gives one's own, as on the card.
template <class T>
static T from_lane(T value, int from) {
  int first = current->number / 32 * 32, lane = current->number % 32;
  int lanes = std::min<int>(32, total - first);
  int turn = current->turn ^= 1;
  memcpy(&current->posted[turn], &value, sizeof value);
  wait(AT_WARP_BARRIER);
  T theirs;
  memcpy(&theirs, &threads[first + (from >= 0 && from < lanes ? from : lane)].posted[turn], sizeof theirs);
  return theirs;
}

}  // namespace cpu

#define threadIdx (cpu::current->index)
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
