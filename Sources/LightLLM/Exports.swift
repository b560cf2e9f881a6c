// A program that embeds the engine imports this one module.
@_exported public import ChatTemplates
@_exported public import JSON
@_exported public import Scheduling
@_exported public import Serving
@_exported public import TextGeneration
@_exported public import Tokenizers
