//! Power cuts. A child process, watched by a shim, commits away; from the log of its writes and syncs this makes the
//! store as a power cut could have left it at many moments, and opens it.
//!
//! Of what was not synced when the power went, each write is there, missing or torn, at random: disks reorder.

use super::*;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

const COMMITS: u64 = 500;
const CUTS: u64 = 60;

/// The files that are watched. Those of the journal fill several times, so that many cuts come while one of them is
/// taken over by the database.
const FILES: [&str; 3] = [DB, journal::NAMES[0], journal::NAMES[1]];

/// The records of commit number `number`; over time most of them replace older ones.
fn records_of(number: u64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    (0..48).map(move |n| (key(((number * 31 + n * n) % 900) as u32), number.to_le_bytes().repeat(45)))
}

/// The child: commits, and writes into the log which commits it was told are durable.
#[test]
#[ignore = "a part of an_acknowledged_commit_survives_a_power_cut"]
fn child() {
    let mut log = File::options().append(true).open(std::env::var_os("WRITE_LOG").unwrap()).unwrap();
    let mut store = Store::open(Path::new(&std::env::var_os("STORE").unwrap())).unwrap().store;
    for number in 1..=COMMITS {
        let records: Vec<_> = records_of(number).collect();
        commit(
            &mut store,
            &records.iter().map(|(key, payload)| (key.as_slice(), payload.as_slice())).collect::<Vec<_>>(),
        );
        let entry = [b"A\0".as_slice(), &number.to_le_bytes(), &0_u64.to_le_bytes()].concat();
        log.write_all(&entry).unwrap();
    }
    // Without closing anything.
    std::process::exit(0);
}

#[test]
fn an_acknowledged_commit_survives_a_power_cut() {
    let scratch = tempfile::tempdir().unwrap();
    let (dir, log) = (scratch.path().join("store"), scratch.path().join("log"));
    Store::open(&dir).unwrap().store.close().unwrap();
    let before = FILES.map(|name| fs::read(dir.join(name)).unwrap());
    run_child(&dir, &log);
    let log = fs::read(log).unwrap();
    let log = parse(&log);
    let acknowledged = log.iter().filter(|entry| entry.letter == b'A').count();
    assert_eq!(acknowledged as u64, COMMITS, "the child did not finish");

    let written: usize = log.iter().map(|entry| entry.data.len()).sum();
    let lengths = FILES.map(|name| fs::metadata(dir.join(name)).unwrap().len());
    println!("{} writes with {written} bytes; the files have {lengths:?}", log.len());
    let cut_dir = scratch.path().join("cut");
    let mut unsynced = 0;
    for seed in 1..=CUTS {
        let mut random = Random(seed);
        let events = moment(&log, &mut random);
        let files = cut(&before, events, &mut random, &mut unsynced);
        // The other files were synced when the child opened the store; the tip never is.
        copy(&dir, &cut_dir);
        fs::remove_file(cut_dir.join(mark::TIP)).unwrap();
        for (name, content) in FILES.iter().zip(files) {
            fs::write(cut_dir.join(name), content).unwrap();
        }

        let opened = Store::open(&cut_dir).unwrap();

        assert_eq!(opened.condition, Condition::Kept, "seed {seed}");
        assert_eq!(opened.set_aside, Vec::<Vec<u8>>::new(), "seed {seed}");
        let acknowledged = events.iter().filter(|entry| entry.letter == b'A').map(|entry| entry.number).max();
        let number = opened.store.open.as_ref().unwrap().commits;
        assert!(number >= acknowledged.unwrap_or(0), "seed {seed}: {number} of {acknowledged:?} commits");
        let expected: BTreeMap<_, _> = (1..=number).flat_map(records_of).collect();
        assert_eq!(pairs(&opened.records), expected.into_iter().collect::<Vec<_>>(), "seed {seed}");
        drop(opened);
        fs::remove_dir_all(&cut_dir).unwrap();
    }
    assert!(unsynced > CUTS, "the cuts left little in doubt ({unsynced} writes)");
}

/// What had happened when the power went: always just before a sync was over, when most is in doubt. What an earlier
/// moment would have left is among that, since any write in doubt may be missing. Half of the times it is a sync of the
/// database, of which there are few.
fn moment<'a, 'b>(log: &'a [Entry<'b>], random: &mut Random) -> &'a [Entry<'b>] {
    let of_database = random.below(2) == 0;
    let ends = |entry: &Entry<'_>| entry.letter == b'E' && (entry.file == 0 || !of_database);
    let ends: Vec<usize> = (0..log.len()).filter(|&at| ends(&log[at])).collect();
    &log[..ends[random.below(ends.len())]]
}

fn run_child(dir: &Path, log: &Path) {
    let test = std::env::current_exe().unwrap();
    let shim = test.parent().unwrap().with_file_name("examples").join("libwrite_log.so");
    // `cargo test` builds it unless told which tests to run.
    assert!(shim.exists(), "{} is missing: cargo build -p standfast-node --example write_log", shim.display());
    File::create(log).unwrap();
    let inodes = FILES.map(|name| fs::metadata(dir.join(name)).unwrap().ino().to_string());
    let status = Command::new(test)
        .args(["--exact", "store::tests::power::child", "--ignored"])
        .env("LD_PRELOAD", shim)
        .env("WRITE_LOG", log)
        .env("WRITE_LOG_INODES", inodes.join(","))
        .env("STORE", dir)
        .status()
        .unwrap();
    assert!(status.success());
}

struct Entry<'a> {
    letter: u8,
    /// Which of the files.
    file: u8,
    number: u64,
    data: &'a [u8],
}

fn parse(mut log: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    while let [letter, file, rest @ ..] = log {
        let (number, rest) = rest.split_first_chunk().unwrap();
        let (length, rest) = rest.split_first_chunk().unwrap();
        let (data, rest) = rest.split_at(u64::from_le_bytes(*length) as usize);
        entries.push(Entry { letter: *letter, file: *file, number: u64::from_le_bytes(*number), data });
        log = rest;
    }
    entries
}

/// The files after `events` and a power cut; counts the changes that were in doubt.
fn cut(before: &[Vec<u8>; 3], events: &[Entry<'_>], random: &mut Random, doubtful: &mut u64) -> [Vec<u8>; 3] {
    let begun = |end: &Entry<'_>| events.iter().position(|it| it.letter == b'B' && it.number == end.number);
    let safe = [0, 1, 2].map(|file| {
        let ends = events.iter().filter(|entry| entry.letter == b'E' && entry.file == file);
        ends.filter_map(begun).max()
    });
    let mut files = before.clone();
    for (at, event) in events.iter().enumerate().filter(|(_, event)| b"WT".contains(&event.letter)) {
        let mut data = event.data;
        if safe[usize::from(event.file)].is_none_or(|safe| at > safe) {
            *doubtful += 1;
            match random.below(3) {
                0 => {}
                1 => continue,
                _ => data = &data[..random.below(data.len() / 512 + 1) * 512],
            }
        }
        let file = &mut files[usize::from(event.file)];
        if event.letter == b'T' {
            file.resize(event.number as usize, 0);
            continue;
        }
        let start = event.number as usize;
        file.resize(file.len().max(start + data.len()), 0);
        file[start..start + data.len()].copy_from_slice(data);
    }
    files
}

/// Splitmix64: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % bound as u64) as usize
    }
}
