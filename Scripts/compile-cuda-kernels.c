// Compiles embedded kernels with NVIDIA's compiler, and fails where one takes more registers than it may.
//   compile FOLDER-OF-NVRTC [-v] < LIST
// The list is that of `lightllm cubins --list`: a line for each module, with its architecture, source and definitions.
// As many modules are compiled at a time as there are processors. -v prints a line for every kernel.
#include "CCUDA.h"
#include "CCUDAKernels.h"
#include "cuda-kernel-limits.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_all(const char *folder, const char *pattern, void **handle) {
    char path[1000];
    glob_t found;
    snprintf(path, sizeof path, "%s/%s", folder, pattern);
    if (glob(path, 0, NULL, &found)) { return 0; }
    int opened = 0;
    for (size_t i = 0; i < found.gl_pathc && !opened; i++) { opened = ccuda_open(found.gl_pathv[i], handle) == NULL; }
    globfree(&found);
    return opened;
}

enum { most_words = 8, most_headers = 16 };
typedef struct {
    const char *words[most_words]; // architecture, source, definitions
    int count;
    char label[200];
} job;

// The first of the limits that is meant for a kernel.
static const limit *limit_of(const job *j, const char *kernel) {
    const limit *one = limits;
    while (!strstr(j->label, one->module) || !strstr(kernel, one->kernel) || !strstr(j->words[0], one->architecture)) { one++; }
    return one;
}

// Reads lines such as "Compiling entry function 'X' for 'sm_80'", "8 bytes stack frame, 4 bytes spill stores, 8 bytes spill
// loads" and "Used 40 registers". Whether all kernels keep to their limits.
static int keeps_to_limits(char *log, const job *j, int is_verbose) {
    int worst = 0, most = 0, kernels = 0, kept = 1, spilled = 0;
    const limit *its = NULL;
    const char *kernel = "";
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        char *name = strstr(line, "entry function '"), *spill = strstr(line, "bytes stack frame, "), *used = strstr(line, "Used ");
        if (name) {
            kernel = name + strlen("entry function '");
            *strchr(kernel, '\'') = 0;
            its = limit_of(j, kernel);
            spilled = 0;
        }
        // Functions that were not inlined have lines of their own, and are the caller's.
        if (spill) {
            const int bytes = atoi(spill + strlen("bytes stack frame, "));
            spilled = bytes > spilled ? bytes : spilled;
        }
        if (!used || !its) { continue; }
        const int registers = atoi(used + strlen("Used "));
        worst = spilled > worst ? spilled : worst;
        most = registers > most ? registers : most;
        kernels++;
        if (is_verbose) { printf("%s %s: %d registers, %d bytes spilled\n", j->label, kernel, registers, spilled); }
        if (registers <= its->registers && spilled <= its->spilled) { continue; }
        fprintf(stderr, "%s: %s takes %d registers and spills %d bytes; at most %d and %d were expected (%s)\n", j->label,
                kernel, registers, spilled, its->registers, its->spilled, its->why);
        kept = 0;
    }
    printf("%-44s %3d kernels, at most %3d registers, %3d bytes spilled\n", j->label, kernels, most, worst);
    return kernels > 0 && kept;
}

static int compile(const job *j, const ccuda_nvrtc_api *api, int is_verbose) {
    size_t sources, size = 0;
    const ccudakernels_source *all = ccudakernels_sources(&sources);
    const char *names[most_headers], *texts[most_headers], *text = NULL;
    int headers = 0;
    for (size_t i = 0; i < sources; i++) {
        if (!strcmp(all[i].name, j->words[1])) { text = all[i].text; }
        if (!strstr(all[i].name, ".cuh")) { continue; }
        names[headers] = all[i].name;
        texts[headers++] = all[i].text;
    }
    if (!text) {
        fprintf(stderr, "no source %s\n", j->words[1]);
        return 0;
    }
    char texts_of_options[most_words][64];
    // As RuntimeCompiler has them.
    const char *options[most_words + 3] = {"--std=c++17", "-default-device", "--ptxas-options=-v"};
    int count = 3;
    snprintf(texts_of_options[0], sizeof *texts_of_options, "--gpu-architecture=%s", j->words[0]);
    options[count++] = texts_of_options[0];
    for (int i = 2; i < j->count; i++) {
        snprintf(texts_of_options[i], sizeof *texts_of_options, "-D%s", j->words[i]);
        options[count++] = texts_of_options[i];
    }
    nvrtcProgram program;
    api->createProgram(&program, text, j->words[1], headers, texts, names);
    const int result = api->compileProgram(program, count, options);
    api->getProgramLogSize(program, &size);
    char *log = calloc(1, size + 1);
    api->getProgramLog(program, log);
    if (result) { fprintf(stderr, "%s: %s\n", j->label, log); }
    return !result && keeps_to_limits(log, j, is_verbose);
}

// Whether one of the processes did well.
static int wait_for_one(void) {
    int status;
    return wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int count, char **arguments) {
    void *handle;
    ccuda_nvrtc_api api;
    if (count > 1) { open_all(arguments[1], "libnvrtc-builtins.so.*", &handle); }
    if (count < 2 || !open_all(arguments[1], "libnvrtc.so.1?", &handle) || ccuda_resolve_nvrtc(handle, &api)) {
        fprintf(stderr, "%s holds no compiler for CUDA\n", count > 1 ? arguments[1] : "nothing");
        return 3;
    }
    const long most = sysconf(_SC_NPROCESSORS_ONLN);
    const int is_verbose = count > 2 && !strcmp(arguments[2], "-v");
    char line[200];
    int jobs = 0, running = 0, well = 1;
    while (fgets(line, sizeof line, stdin)) {
        job j = {.count = 0};
        line[strcspn(line, "\n")] = 0;
        snprintf(j.label, sizeof j.label, "%s", line);
        for (char *word = strtok(line, " "); word && j.count < most_words; word = strtok(NULL, " ")) { j.words[j.count++] = word; }
        if (j.count < 2) { continue; }
        jobs++;
        if (running == most) {
            well &= wait_for_one();
            running--;
        }
        fflush(NULL);
        const pid_t child = fork();
        if (child < 0) { return 1; }
        if (child == 0) {
            const int is_well = compile(&j, &api, is_verbose);
            fflush(NULL);
            _exit(!is_well);
        }
        running++;
    }
    while (running-- > 0) { well &= wait_for_one(); }
    printf("%d modules\n", jobs);
    return jobs == 0 || !well;
}
