//! Runnable stories; see the folders beside this file.
