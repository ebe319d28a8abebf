//! The library to embed: the same verbs as the command line, in this process.
