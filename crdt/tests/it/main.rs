//! What other implementations have to agree with: frozen bytes, and a second reader for them.

mod golden;
mod second_reader;
mod vectors;
