import Hub
import Testing

@Suite struct RepositoryNameTests {
    @Test func readsOwnerNameAndRevision() throws {
        let name = try #require(RepositoryName("HuggingFaceTB/SmolLM2-135M@v1.0"))
        #expect((name.owner, name.name, name.revision) == ("HuggingFaceTB", "SmolLM2-135M", "v1.0"))
        #expect(RepositoryName("a/b")?.revision == "main")
    }

    @Test(arguments: ["", "a", "a/b/c", "../b", "a/..", "a/b@", "a/b@../c", "a b/c", "/b", "a/", "a/b@c/d"])
    func refusesOtherForms(_ text: String) { #expect(RepositoryName(text) == nil) }
}
