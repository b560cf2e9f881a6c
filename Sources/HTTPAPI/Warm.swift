import Hummingbird
import JSON
import Logging
