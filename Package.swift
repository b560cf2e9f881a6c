// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let collections: Target.Dependency = .product(name: "OrderedCollections", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let httpClient: Target.Dependency = .product(name: "AsyncHTTPClient", package: "async-http-client")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let hummingbird: Target.Dependency = .product(name: "Hummingbird", package: "hummingbird")
let hummingbirdCore: Target.Dependency = .product(name: "HummingbirdCore", package: "hummingbird")
let hummingbirdTLS: Target.Dependency = .product(name: "HummingbirdTLS", package: "hummingbird")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let yaml: Target.Dependency = .product(name: "Yams", package: "yams")

/// A target of ours; its tests live in `Tests/<name>Tests`.
func layer(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: strict)
}

// Tiers: a target imports only from lower ones, and only what its line lists (docs/architecture.md).
let package = Package(
    name: "lightllm",
    products: [
        .library(name: "LightLLM", targets: ["LightLLM"]),
        .executable(name: "lightllm", targets: ["LightLLMCommand"]),
        .executable(name: "embedding-example", targets: ["EmbeddingExample"]),
    ],
    traits: [
        .default(enabledTraits: ["MPI"]),
        .trait(
            name: "MPI",
            description: "Ranks in several processes and on several machines, with the system's MPI library."),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.5.1"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Tier 0
        .target(name: "CKernels", cSettings: [.treatAllWarnings(as: .error)]),
        .systemLibrary(
            name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"]), .brew(["pcre2"])]),
        // Tensor parallelism between processes.
        .systemLibrary(
            name: "COpenMPI", pkgConfig: "ompi-c", providers: [.apt(["libopenmpi-dev"]), .brew(["open-mpi"])]),
        .target(
            name: "CMPI", dependencies: [.target(name: "COpenMPI", condition: .when(traits: ["MPI"]))],
            cSettings: [.define("LLM_MPI", .when(traits: ["MPI"])), .treatAllWarnings(as: .error)]),
        .systemLibrary(
            name: "CTurboJPEG", pkgConfig: "libturbojpeg",
            providers: [.apt(["libturbojpeg0-dev"]), .brew(["jpeg-turbo"])]),
        .systemLibrary(
            name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"]), .brew(["libpng"])]),
        .systemLibrary(
            name: "CWebP", pkgConfig: "libwebp", providers: [.apt(["libwebp-dev"]), .brew(["webp"])]),
        .target(name: "CImageCodecs", dependencies: ["CPNG"], cSettings: [.treatAllWarnings(as: .error)]),
        .target(name: "CCUDA", cSettings: [.treatAllWarnings(as: .error)]),
        // Kernel sources, which the device's compiler sees first.
        .target(name: "CCUDAKernels", exclude: ["cu"]),
        layer("Hashing"),
        layer("JSON", [collections]),
        layer("Tensors"),
        layer("Scheduling", [deque, heap]),
        layer("Images", ["CImageCodecs", "CTurboJPEG", "CWebP"]),
        // Tier 1
        layer("ReferenceBackend", ["Tensors"]),
        layer("CPUBackend", ["Tensors", "CKernels"]),
        layer("Ranks", ["Tensors", "Hashing", "CMPI"]),
        layer("CUDARuntime", ["CCUDA", "CCUDAKernels", "Hashing"]),
        layer("Weights", ["Tensors", "JSON", collections]),
        layer("Tokenizers", ["JSON", "CPCRE2", collections, heap, protobuf]),
        layer("ChatTemplates", ["JSON", collections]),
        layer("StructuredOutput", ["JSON", collections]),
        layer("ToolCalls", ["JSON", collections]),
        // Repositories of models over HTTP.
        layer("Hub", ["JSON", httpClient, crypto, nio, nioHTTP1]),
        // Tier 2
        layer("CUDABackend", ["Tensors", "CUDARuntime", "CKernels"]),
        layer("Layers", ["Tensors", "Weights", "Images", "JSON"]),
        // Tier 3: neither sees the other; Serving knows `any LanguageModel`.
        layer("Models", ["Layers", "Weights", "Tensors", "Images", "JSON", collections]),
        layer("Serving", ["Scheduling", "Layers", "Tensors", "Images", "Ranks", crypto]),
        // Tier 4
        layer(
            "TextGeneration",
            [
                "Serving", "Scheduling", "Tokenizers", "ChatTemplates", "StructuredOutput", "ToolCalls",
                "JSON", "Images", "Layers",
                collections,
            ]),
        // Tier 5: neither sees the other; the library never drags in a server.
        layer(
            "LightLLM",
            [
                "TextGeneration", "Serving", "Models", "Layers", "Weights", "Tensors", "CPUBackend",
                "CUDABackend", "Ranks", "ToolCalls", "Images",
                "Tokenizers",
                "ChatTemplates", "JSON", "Scheduling", collections,
            ]),
        layer(
            "HTTPAPI",
            [
                "TextGeneration", "Serving", "Scheduling", "Tokenizers", "ChatTemplates", "StructuredOutput",
                "ToolCalls", "JSON", "Images", "Layers", collections, hummingbird, hummingbirdCore,
                hummingbirdTLS, httpTypes,
                httpClient,
                nio,
                nioHTTP1, nioSSL, crypto, lifecycle, signals, logging,
            ]),
        // Checks and measurements for a machine with a GPU.
        layer(
            "GPUCheck",
            [
                "LightLLM", "CUDABackend", "CUDARuntime", "CPUBackend", "Serving", "Scheduling", "Layers",
                "Weights",
                "Tensors",
                "JSON", collections,
            ]),
        // Tier 6: where a model, a backend and a server meet.
        .executableTarget(
            name: "LightLLMCommand",
            dependencies: [
                "LightLLM", "HTTPAPI", "TextGeneration", "Serving", "Tokenizers", "ChatTemplates", "JSON",
                "Layers", "Tensors", "Weights", "Ranks", "ToolCalls", "GPUCheck", "CUDARuntime",
                "CUDABackend",
                "Scheduling", "Hub", "Images", "Hashing", logging, hummingbird, collections, argumentParser,
                httpClient,
                nio,
                nioHTTP1,
                yaml,
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "EmbeddingExample", dependencies: ["LightLLM"], path: "Examples/Embedding",
            swiftSettings: strict),

        tests("CKernelsTests", ["CKernels"]),
        tests("HashingTests", ["Hashing"]),
        tests("JSONTests", ["JSON", collections]),
        tests("SchedulingTests", ["Scheduling"]),
        tests("ImagesTests", ["Images", "JSON", collections]),
        tests("WeightsTests", ["Weights", "Tensors", "JSON"]),
        tests("BackendTests", ["CPUBackend", "ReferenceBackend", "Tensors"]),
        // A CUDA device that is this computer's processor: the driver's calls, and the kernels as C++.
        .target(name: "CCUDAHost", dependencies: ["CCUDA"], path: "Tests/CCUDAHost"),
        tests(
            "CUDABackendTests",
            [
                "CUDABackend", "CUDARuntime", "CCUDAHost", "CCUDA", "CPUBackend", "ReferenceBackend",
                "Tensors",
                "LightLLM", "GPUCheck", "Serving", "Scheduling", "Weights", "JSON", "HTTPAPI", "Images",
                "Layers",
                "TextGeneration", collections, hummingbird, httpTypes, logging, nio,
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ]),
        tests("TokenizersTests", ["Tokenizers", "JSON", protobuf]),
        tests("ChatTemplatesTests", ["ChatTemplates", "JSON", collections]),
        tests(
            "StructuredOutputTests",
            ["StructuredOutput", "LightLLM", "TextGeneration", "Serving", "JSON", collections]),
        tests("ToolCallsTests", ["ToolCalls", "JSON", collections]),
        tests(
            "HubTests", ["Hub", "JSON", collections, crypto, hummingbird, httpTypes, lifecycle, nio, logging]),
        tests(
            "ServingTests",
            ["Serving", "Layers", "Scheduling", "Tensors", "ReferenceBackend", "Images", "Ranks"]),
        tests("RanksTests", ["Ranks", "Tensors", "ReferenceBackend"]),
        tests(
            "TextGenerationTests",
            ["TextGeneration", "StructuredOutput", "ToolCalls", "Tokenizers", "JSON", collections]),
        tests(
            "HTTPAPITests",
            [
                "HTTPAPI", "LightLLM", "Layers", "Serving", "StructuredOutput", "ToolCalls", "TextGeneration",
                "JSON",
                collections, hummingbird, httpTypes, httpClient, nio, nioHTTP1, nioSSL, logging,
                .product(name: "HummingbirdTesting", package: "hummingbird"),
            ]),
        tests(
            "CommandTests",
            [
                "LightLLMCommand", "LightLLM", "HTTPAPI", "Serving", "JSON", "Ranks", "Tensors",
                argumentParser,
                collections, logging, yaml,
            ]),
        tests(
            "ConformanceTests",
            [
                "LightLLM", "Weights", "Layers", "Models", "Serving", "Scheduling", "Tensors", "CPUBackend",
                "ReferenceBackend", "Images", "Ranks",
                "TextGeneration",
                "Tokenizers",
                "ChatTemplates", "JSON", collections,
            ]),
    ],
    cxxLanguageStandard: .cxx17
)
