//! The one seam to files: just the operations a crash can interrupt.
