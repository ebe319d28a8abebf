//! Many replicas and a home in one thread, under one seed: the core as shipped, everything around it hostile.
