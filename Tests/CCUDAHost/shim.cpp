#include "cuda_host_shim.h"
#include "CCUDAHost.h"
#include <atomic>

static std::atomic<bool> backwards;
extern "C" void cuda_host_set_backwards(bool value) { backwards = value; }

namespace cuda_host {
thread_local Block *block;
thread_local Fiber *fiber;

namespace {
const size_t stack_bytes = 64 << 10;

// Never initialised, so that only what fibers use is touched.
struct Stacks {
    char *memory = nullptr;
    size_t size = 0;
    char *of(size_t threads) {
        if (size < threads * stack_bytes) {
            free(memory);
            size = threads * stack_bytes;
            memory = (char *)malloc(size);
        }
        return memory;
    }
    ~Stacks() { free(memory); }
};
thread_local Stacks stacks;

// A fiber serves every block of a launch.
void body() {
    for (;;) {
        block->entry(block->argument);
        wait(done);
    }
}

void step(Block &b, Fiber &f) {
    fiber = &f;
    if (_setjmp(b.scheduler)) return;
    if (f.started) _longjmp(f.resume, 1);
    f.started = true;
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack;
    f.context.uc_stack.ss_size = stack_bytes;
    f.context.uc_link = nullptr;
    makecontext(&f.context, body, 0);
    setcontext(&f.context);
}

// Runs a warp until all its lanes are done or wait for the block. Whether any ran.
bool run_warp(Block &b, int low, int high) {
    bool ran = false;
    for (;;) {
        int finished = 0, waiting = 0;
        bool any = false;
        for (int i = 0; i < high - low; ++i) {
            Fiber &f = b.fibers[b.backwards ? high - 1 - i : low + i];
            if (f.state == ready) {
                step(b, f);
                any = ran = true;
            }
            waiting += f.state == at_warp;
            finished += f.state == done;
        }
        if (waiting && waiting + finished == high - low) {
            for (int i = low; i < high; ++i)
                if (b.fibers[i].state == at_warp) b.fibers[i].state = ready;
        } else if (!any) {
            return ran;
        }
    }
}

void run_block(Block &b) {
    const int n = (int)b.fibers.size(), warps = (n + 31) / 32;
    for (;;) {
        bool ran = false;
        for (int k = 0; k < warps; ++k) {
            const int w = b.backwards ? warps - 1 - k : k;
            ran |= run_warp(b, w * 32, w * 32 + 32 < n ? w * 32 + 32 : n);
        }
        int finished = 0, waiting = 0;
        for (const Fiber &f : b.fibers) {
            finished += f.state == done;
            waiting += f.state == at_block;
        }
        if (finished == n) return;
        if (waiting && waiting + finished == n) {
            for (Fiber &f : b.fibers)
                if (f.state == at_block) f.state = ready;
        } else if (!ran) {
            fprintf(
                stderr, "a barrier that not all threads reach: %d of %d are done, %d at the block's, %d at a warp's\n",
                finished, n, waiting, n - finished - waiting);
            abort();
        }
    }
}
} // namespace

void wait(State state) {
    fiber->state = state;
    if (!_setjmp(fiber->resume)) _longjmp(block->scheduler, 1);
}

void run(Dim grid, Dim size, size_t shared, void (*entry)(void *), void *argument) {
    const size_t n = (size_t)size.x * size.y * size.z;
    Block b;
    b.grid = grid;
    b.size = size;
    b.entry = entry;
    b.argument = argument;
    b.backwards = backwards;
    b.fibers.resize(n);
    b.warps.resize((n + 31) / 32);
    std::vector<unsigned char> memory(shared + 256);
    b.shared = (unsigned char *)(((uintptr_t)memory.data() + 127) & ~(uintptr_t)127);
    char *stack = stacks.of(n);
    block = &b;
    for (size_t i = 0; i < n; ++i) b.fibers[i].started = false;
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                b.id = {x, y, z};
                // What a block finds in shared memory is no number.
                memset(b.shared, 0xFF, shared);
                for (size_t i = 0; i < n; ++i) {
                    Fiber &f = b.fibers[i];
                    f.stack = stack + stack_bytes * i;
                    f.state = ready;
                    f.operations = 0;
                    f.lane = (int)(i % 32);
                    f.warp = (int)(i / 32);
                    f.thread = {(unsigned)(i % size.x), (unsigned)(i / size.x % size.y), (unsigned)(i / (size.x * size.y))};
                    f.groups.clear();
                    f.open.clear();
                }
                run_block(b);
            }
    block = nullptr;
    fiber = nullptr;
}
} // namespace cuda_host
