/// A template that cannot be parsed or rendered.
public enum ChatTemplateError: Error, Equatable, CustomStringConvertible {
    /// The template is not written in the part of Jinja that is understood.
    case syntax(line: Int, String)
    /// The template called `raise_exception`.
    case raised(String)
    /// Rendering failed, with the message Jinja or Python would give.
    case failed(String)
    /// Rendering took too many steps, nested too deeply or wrote too much.
    case limitReached(String)

    public var description: String {
        switch self {
        case .syntax(let line, let reason): "chat template, line \(line): \(reason)"
        case .raised(let message): message
        case .failed(let message): "chat template: \(message)"
        case .limitReached(let what): "chat template: \(what)"
        }
    }
}
