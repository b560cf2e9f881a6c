// How many registers a thread of a kernel may take, and how many bytes of them it may keep in memory. A multiprocessor has
// 65,536 registers: kernels that need several blocks there, to have something to do while one waits, may not take more than
// leaves room for them, even where the compiler would give them more.
typedef struct {
    // Parts of the module's line, of the kernel's name, and of the architecture. The first line that has all three counts.
    const char *module, *kernel, *architecture;
    int registers, spilled;
    const char *why;
} limit;

static const limit limits[] = {
    // Attention with tensor cores. Shared memory leaves room for two blocks of four warps, or eight of one, at any number.
    // What spills is read again once for each 64 positions, beside some hundred products.
    {"WIDTH=256", "tiles_i8", "", 255, 320, "results of 256 columns take half of all registers, and bytes are widened in others"},
    {"WIDTH=256", "", "", 255, 200, "results of 256 columns take half of all registers"},
    {"WIDTH=128 SCORES=1", "f16_", "sm_100a", 255, 288, "caps and slopes; the compiler keeps them for all columns at once there"},
    {"WIDTH=128 SCORES=1", "", "", 255, 128, "caps and slopes"},
    {"WIDTH=128", "", "", 255, 72, "the heads of most models"},
    {"attention_tiles.cu", "", "", 255, 48, "narrower heads"},
    {"attention_latent.cu", "", "", 255, 48, "one block of 256 threads, as shared memory leaves room for no other"},
    {"attention.cu", "attend_", "", 96, 32, "five blocks of 128 threads"},
    // Products. Shared memory holds three blocks of few rows, one of many.
    {"gemm_groups.cu", "_64x", "", 128, 16, "four blocks of 128 threads"},
    {"gemm_groups.cu", "", "", 255, 16, "one block of 256 threads"},
    {"gemm_blocks.cu", "_16x64", "", 96, 16, "five blocks of 128 threads, whose tiles are small"},
    {"gemm", "_16x64", "", 128, 16, "four blocks of 128 threads"},
    {"gemm", "_32x64", "", 128, 16, "four blocks of 128 threads"},
    {"gemm", "_64x64", "", 168, 16, "three blocks of 128 threads"},
    {"gemm", "_128x", "", 255, 16, "one block of 256 threads"},
    // Rows.
    {"sampling.cu", "answer_questions", "", 64, 32, "one block of 1024 threads"},
    {"rows.cu", "_norm", "", 32, 0, "two blocks of 1024 threads"},
    {"", "", "", 64, 0, "a thousand threads"},
};
