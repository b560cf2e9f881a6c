import Images
import Layers
import Serving
import TextGeneration

/// What may be wrong with an image that could be had.
protocol ImageProblem: Error, CustomStringConvertible {}

extension ImageError: ImageProblem {}
extension ImageRefusal: ImageProblem {}
extension ImageStageError: ImageProblem {}
extension ImagePlaceError: ImageProblem {}

extension Server {
    /// The files of a request's images, whose headers have been read.
    func encoded(_ references: [MediaReference]) async throws -> [EncodedImage] {
        guard let media, !references.isEmpty else { return [] }
        var images: [EncodedImage] = []
        for (bytes, reference) in zip(try await media.images(references), references) {
            do {
                images.append(try EncodedImage(bytes))
            } catch {
                throw APIError.invalid("\(reference.field): \(error)", parameter: reference.parameter)
            }
        }
        return images
    }

    /// The images of a request when the model has looked at them, unless its client goes away before.
    func ready(_ references: [MediaReference], _ context: ServerContext) async throws -> [ReadyImage] {
        guard !references.isEmpty else { return [] }
        let task = Task { try await generator.ready(await encoded(references)) }
        context.onDisconnect { task.cancel() }
        return try await task.value
    }
}
