// A program that runs a model in its own process: swift run embedding-example MODEL "a prompt"
import LightLLM

guard CommandLine.arguments.count == 3 else {
    print("usage: embedding-example MODEL PROMPT")
    throw CancellationError()
}

// Any Hugging Face folder or GGUF file; a wrong one throws an error that says what is wrong with it.
let model = try LoadedTextModel(path: CommandLine.arguments[1])

var request = TextRequest(prompt: .text(CommandLine.arguments[2]), maxNewTokens: 48)
request.sampling.temperature = 0.7
request.sampling.seed = 1

// Any number of tasks may do this at once; their requests share the engine's batches. A task that is
// cancelled, or returns, ends its request and frees its memory.
for await case .chunk(let chunk) in try model.generator.generate(request) {
    print(chunk.text, terminator: "")
}
print()
