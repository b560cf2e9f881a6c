// Compiles all embedded kernels for the architectures that the command line names, and says what registers they take.
//   compile FOLDER-OF-NVRTC ARCHITECTURE...
#include "CCUDA.h"
#include "CCUDAKernels.h"
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Bytes of registers that a kernel may keep in memory. Attention over bytes with heads of 256 columns keeps up to 248: more
// than it should, and known.
static int most_spilled(const char *source, const char *kernel) {
    return strstr(source, "WIDTH=256") && strstr(kernel, "_i8_") ? 256 : 144;
}

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

// Reads lines such as "Function properties for X" and "8 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads".
static int spills_too_much(char *log, const char *source, const char *architecture) {
    int worst = 0, registers = 0, kernels = 0, failed = 0;
    const char *kernel = "";
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        const char *spill = strstr(line, "bytes stack frame, "), *used = strstr(line, "Used ");
        const char *name = strstr(line, "properties for ");
        if (name) { kernel = name; }
        if (spill) {
            const int bytes = atoi(spill + strlen("bytes stack frame, "));
            worst = bytes > worst ? bytes : worst;
            failed |= bytes > most_spilled(source, kernel);
        }
        if (used) {
            const int count = atoi(used + strlen("Used "));
            registers = count > registers ? count : registers;
            kernels++;
        }
    }
    printf("%-28s %-8s %3d kernels, at most %3d registers, %3d bytes spilled\n", source, architecture, kernels, registers, worst);
    return kernels == 0 || failed;
}

int main(int count, char **arguments) {
    void *handle;
    ccuda_nvrtc_api api;
    open_all(arguments[1], "libnvrtc-builtins.so.*", &handle);
    if (count < 3 || !open_all(arguments[1], "libnvrtc.so.1?", &handle) || ccuda_resolve_nvrtc(handle, &api)) {
        fprintf(stderr, "%s holds no compiler for CUDA\n", arguments[1]);
        return 3;
    }
    size_t sources, headers = 0;
    const ccudakernels_source *all = ccudakernels_sources(&sources);
    const char *names[16], *texts[16];
    for (size_t i = 0; i < sources; i++) {
        if (!strstr(all[i].name, ".cuh")) { continue; }
        names[headers] = all[i].name;
        texts[headers++] = all[i].text;
    }
    int failed = 0;
    for (int a = 2; a < count; a++) {
        for (size_t i = 0; i < sources; i++) {
            const int has_widths = strstr(all[i].name, "tiles") != NULL;
            if (strstr(all[i].name, ".cuh")) { continue; }
            // Instructions of compute capability 9.0 alone.
            if (strstr(all[i].name, "groups") && strcmp(arguments[a], "sm_90a")) { continue; }
            // Heads of these widths, or products as they are and those of the experts of a mixture.
            const char *widths[] = {"WIDTH=64", "WIDTH=96", "WIDTH=128", "WIDTH=256"}, *products[] = {"DENSE", "EXPERTS"};
            const int is_product = !strncmp(all[i].name, "gemm", 4);
            const char **variants = has_widths ? widths : products;
            for (int v = 0; v < (has_widths ? 4 : is_product ? 2 : 1); v++) {
                char architecture[64], definition[32], label[64];
                nvrtcProgram program;
                snprintf(architecture, sizeof architecture, "--gpu-architecture=%s", arguments[a]);
                snprintf(definition, sizeof definition, "-D%s", variants[v]);
                snprintf(label, sizeof label, has_widths || is_product ? "%s %s" : "%s", all[i].name, variants[v]);
                const char *options[] = {architecture, "--std=c++17", "-default-device", "--ptxas-options=-v", definition};
                api.createProgram(&program, all[i].text, all[i].name, (int)headers, texts, names);
                const int result = api.compileProgram(program, 5, options);
                size_t size = 0;
                api.getProgramLogSize(program, &size);
                char *log = calloc(1, size + 1);
                api.getProgramLog(program, log);
                if (result) { fprintf(stderr, "%s for %s: %s\n", label, arguments[a], log); }
                failed |= result || spills_too_much(log, label, arguments[a]);
                free(log);
                api.destroyProgram(&program);
            }
        }
    }
    return failed;
}
