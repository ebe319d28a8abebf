//! One replica and several, on disks that crash, fail, rot and are copied.

mod adoption;
mod clocks;
mod clones;
mod collection;
mod convergence;
mod copies;
mod crashes;
mod cuts;
mod damage;
mod drops;
mod feed;
mod forks;
mod full;
mod hermitage;
mod hostile;
mod large;
mod lives;
mod notes;
mod regressions;
mod reissue;
mod riak;
mod space;
mod story;
mod transactions;
mod twins;
mod values;
