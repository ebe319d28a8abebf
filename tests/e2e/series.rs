//! The rows to import: the NAB series where they are, a generated set of the same shape where not.

use std::path::{Path, PathBuf};

use super::harness::Place;

/// What the NAB series hold, counted independently of this program.
const NAB_ROWS: usize = 321_206;
const NAB_MOMENTS: usize = 321_157;

/// Files of `timestamp,value`, and what an import of them must come to.
pub(crate) struct Series {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) rows: usize,
    /// Different pairs of file and timestamp.
    pub(crate) moments: usize,
}

impl Series {
    pub(crate) fn find(place: &Place) -> Series {
        if let Some(sets) = std::env::var_os("STRANDLINE_DATA_SETS") {
            let files = csv_files(&Path::new(&sets).join("nab"));
            assert!(!files.is_empty(), "STRANDLINE_DATA_SETS is set and holds no nab/*/*.csv");
            return Series { files, rows: NAB_ROWS, moments: NAB_MOMENTS };
        }
        eprintln!("NOTE: STRANDLINE_DATA_SETS is not set; a generated series stands in for the NAB files");
        Series::generate(place, 16, 6_000)
    }

    /// Files whose every hundredth row repeats the moment before it.
    pub(crate) fn generate(place: &Place, file_count: usize, rows_each: usize) -> Series {
        let mut files = Vec::new();
        let mut repeated = 0;
        for file in 0..file_count {
            let mut text = String::from("timestamp,value\n");
            for row in 0..rows_each {
                let is_repeated = row % 100 == 99;
                repeated += usize::from(is_repeated);
                let minute = row - usize::from(is_repeated);
                let (day, minute) = (minute / 1440 + 1, minute % 1440);
                text.push_str(&format!(
                    "2015-03-{day:02} {:02}:{:02}:00,{}\n",
                    minute / 60,
                    minute % 60,
                    (row * 7919 + file) % 1000
                ));
            }
            files.push(place.file(&format!("series-{file}.csv"), &text));
        }
        Series { files, rows: file_count * rows_each, moments: file_count * rows_each - repeated }
    }

    /// `import TARGET FILES… --key KEY`.
    pub(crate) fn command<'a>(&'a self, target: &'a str, key: &'a str) -> Vec<&'a str> {
        let files = self.files.iter().map(|path| path.to_str().expect("a path that is text"));
        ["import", target].into_iter().chain(files).chain(["--key", key]).collect()
    }
}

fn csv_files(nab: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let folders = std::fs::read_dir(nab).into_iter().flatten().flatten();
    for folder in folders.filter(|folder| folder.path().is_dir()) {
        for file in std::fs::read_dir(folder.path()).expect("a directory") {
            let path = file.expect("an entry").path();
            if path.extension().is_some_and(|ending| ending == "csv") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
