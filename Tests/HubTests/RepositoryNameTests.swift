import Hub
import Testing

@Suite struct RepositoryNameTests {
    @Test func readsOwnerNameAndRevision() throws {
        let name = try #require(RepositoryName("HuggingFaceTB/SmolLM2-135M@v1.0"))
        #expect((name.owner, name.name, name.revision) == ("HuggingFaceTB", "SmolLM2-135M", "v1.0"))
        #expect(name.id == "HuggingFaceTB/SmolLM2-135M")
        #expect(RepositoryName("a/b")?.revision == "main")
        let old = try #require(RepositoryName("gpt2"))
        #expect((old.owner, old.id, old.revision) == (nil, "gpt2", "main"))
        #expect(RepositoryName("a/b@refs/pr/1")?.revision == "refs/pr/1")
    }

    @Test(arguments: [
        "", "a/b/c", "../b", "a/..", "a/b@", "a/b@../c", "a b/c", "/b", "a/", "a/b@c//d", ".", "./a",
        "a/b@/c",
        "a/é", "~/a", "a%2fb/c",
    ])
    func refusesOtherForms(_ text: String) { #expect(RepositoryName(text) == nil) }

    @Test func readsVariants() throws {
        let model = try #require(ModelReference("o/m-GGUF@v2:Q4_K_M"))
        #expect(
            (model.repository.id, model.repository.revision, model.variant) == ("o/m-GGUF", "v2", "Q4_K_M"))
        #expect(ModelReference("o/m")?.variant == nil)
        #expect(ModelReference("o/m:sub/x.gguf")?.variant == "sub/x.gguf")
        for text in ["o/m:", "o/m:../x", "http://o/m", "o/m:/x", "C:\\m"] {
            #expect(ModelReference(text) == nil, "\(text)")
        }
    }
}
