//! What happened, as a hash that two runs of a seed must share and, if wanted, as lines for a person.

/// The story of one run.
pub struct Trace {
    hasher: blake3::Hasher,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Keeps the lines only when `verbose`; the hash is always there.
    pub fn new(verbose: bool) -> Trace {
        Trace { hasher: blake3::Hasher::new(), lines: verbose.then(Vec::new) }
    }

    /// Adds one line.
    pub fn line(&mut self, now: u64, text: &str) {
        self.hasher.update(&now.to_le_bytes());
        self.hasher.update(text.as_bytes());
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9.3} s  {text}", now as f64 / 1000.0));
        }
    }

    /// Adds bytes that matter to the hash but would tell a person nothing.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> String {
        self.hasher.finalize().to_hex()[..32].to_string()
    }

    /// The lines, if they were kept.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
