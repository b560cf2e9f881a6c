/// Under which names a checkpoint has what a model asks for, where they are not the usual ones.
struct TensorNaming: Sendable {
    /// Beginnings of names and what the checkpoint has instead; the first that fits counts.
    private let beginnings: [(usual: String, stored: String)]

    init(_ names: Set<String>) {
        if names.contains("embed_tokens.weight"), !names.contains("model.embed_tokens.weight") {
            // Models that were saved without their head.
            beginnings = [("model.", "")]
        } else if names.contains("model.language_model.embed_tokens.weight") {
            // Models that see, as transformers saves them since release 4.52.
            beginnings = [
                ("language_model.model.", "model.language_model."), ("language_model.lm_head.", "lm_head."),
                ("vision_tower.", "model.vision_tower."),
                ("multi_modal_projector.", "model.multi_modal_projector."),
                ("visual.", "model.visual."), ("model.", "model.language_model."),
            ]
        } else {
            beginnings = []
        }
    }

    func stored(_ name: String) -> String {
        guard let (usual, stored) = beginnings.first(where: { name.hasPrefix($0.usual) }) else { return name }
        return stored + name.dropFirst(usual.count)
    }
}
