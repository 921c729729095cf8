//! Killed processes, full disks, damaged files.

use super::*;
use crate::clock::Clock;
use nix::unistd::Uid;
use standfast_core::id::Sequence;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;

/// The child of the test below: commits, and says which commits are durable.
#[test]
#[ignore = "a part of an_acknowledged_commit_survives_kill_9"]
fn child() {
    let opened = Store::open(Path::new(&std::env::var_os("STORE").unwrap())).unwrap();
    let mut store = opened.store;
    for number in opened.records.len() as u64.. {
        commit(&mut store, &[(&key(number as u32), &number.to_le_bytes().repeat(20))]);
        writeln!(std::io::stderr(), "durable {number}").unwrap();
    }
}

#[test]
fn an_acknowledged_commit_survives_kill_9() {
    let (_scratch, dir) = filled(0);
    let mut durable = 0;
    for round in 1..=5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::faults::child", "--ignored", "--nocapture"])
            .env("STORE", &dir)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let numbers = said.filter_map(|line| line.strip_prefix("durable ").map(|number| number.parse().unwrap()));
        for (count, number) in numbers.enumerate() {
            durable = number;
            if count == 20 * round {
                // It goes on in the meantime; what it says until it is dead counts too.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let opened = Store::open(&dir).unwrap();
        assert_eq!(opened.condition, Condition::Kept);
        assert!(opened.records.len() as u64 > durable, "{} records, {durable} was durable", opened.records.len());
    }
    assert!(durable > 300);
}

/// A small file system of its own, unmounted at the end.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(test: &str) -> Option<Self> {
        if !Uid::effective().is_root() {
            println!("skipped: {test} needs root to mount a small file system");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]).arg(scratch.path()).status();
        assert!(mount.expect("run mount").success());
        Some(Self(scratch))
    }

    /// Takes all the space there is.
    fn fill(&self) -> PathBuf {
        let path = self.0.path().join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4_096]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_disk_that_fills_up_is_waited_for_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::mount("a_disk_that_fills_up") else { return };
    let dir = disk.0.path().join("store");
    let store = Store::open(&dir).unwrap().store;
    let (send, reports) = channel();
    let thread = StoreThread::start(store, Clock::start(), move |report| send.send(report).unwrap()).unwrap();
    let batch =
        |number: u32| Batch { sequence: Sequence(number.into()), entries: vec![(key(number), payload(number))] };
    let persisted =
        |number: u64, report: &Report| matches!(report, Report::Persisted { sequence, .. } if sequence.0 == number);

    thread.submit(batch(0)).unwrap();
    assert!(persisted(0, &reports.recv().unwrap()));

    let filler = disk.fill();
    let mut number = 0;
    let failing = loop {
        number += 1;
        thread.submit(batch(number)).unwrap();
        match reports.recv().unwrap() {
            Report::Persisted { .. } | Report::Space(_) => {}
            failing @ (Report::Failing(_) | Report::Recovered | Report::Gone(_)) => break failing,
        }
        assert!(number < 100_000, "24 MiB took 100,000 records");
    };
    assert!(matches!(&failing, Report::Failing(error) if error.is_no_space()), "{failing:?}");
    assert!(matches!(Store::open(&dir).unwrap_err(), StoreError::Held { .. }), "it keeps its folder meanwhile");

    fs::remove_file(filler).unwrap();
    assert!(matches!(reports.recv().unwrap(), Report::Recovered));
    let mut after = reports.iter().filter(|report| !matches!(report, Report::Space(_)));
    assert!(persisted(number.into(), &after.next().unwrap()));
    thread.submit(batch(number + 1)).unwrap();
    assert!(persisted(u64::from(number) + 1, &after.next().unwrap()));
    thread.close().unwrap();
    let opened = Store::open(&dir).unwrap();
    assert_eq!(opened.condition, Condition::Kept);
    assert_eq!(pairs(&opened.records), expected(number + 2));
}

#[test]
fn a_full_disk_at_the_start_is_told_and_waited_for() {
    let Some(disk) = SmallDisk::mount("a_full_disk_at_the_start") else { return };
    let dir = disk.0.path().join("store");
    let filler = disk.fill();
    let error = Store::open(&dir).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    let mut told = 0;
    let opened = Store::open_when_there_is_space(&dir, |error| {
        told += usize::from(error.is_no_space());
        fs::remove_file(filler).unwrap();
    });
    assert_eq!(opened.unwrap().condition, Condition::Fresh);
    assert_eq!(told, 1);
}

/// Whatever is zeroed or cut off: the store is as it was, or is told to be damaged and put aside.
#[test]
fn zeroed_pages_and_cut_off_files_bring_back_nothing_old() {
    let (scratch, dir) = filled(4_000);
    let mut store = Store::open(&dir).unwrap().store;
    commit(&mut store, &[(&key(7), b"newer")]);
    store.close().unwrap();
    let mut latest = expected(4_000);
    latest[7].1 = b"newer".to_vec();
    let pristine = scratch.path().join("pristine");
    copy(&dir, &pristine);
    let written = fs::read(dir.join(DB)).unwrap();
    let pages: Vec<u64> = (0..)
        .step_by(4_096)
        .zip(written.chunks(4_096))
        .filter(|(_, page)| page.iter().any(|&it| it != 0))
        .map(|(at, _)| at)
        .collect();
    let mut replaced = 0;
    for step in 0..12 {
        let at = pages[pages.len() * step / 12];
        let file = File::options().write(true).open(dir.join(DB)).unwrap();
        if step % 2 == 0 {
            file.write_all_at(&[0; 4_096], at).unwrap();
        } else {
            file.set_len(at).unwrap();
        }
        let opened = Store::open(&dir).unwrap();
        match &opened.condition {
            Condition::Kept => assert_eq!(pairs(&opened.records), latest, "at {at}"),
            Condition::Replaced { moved_to } => {
                fs::remove_dir_all(moved_to).unwrap();
                replaced += 1;
            }
            Condition::Fresh => panic!("at {at}: the store was not seen"),
        }
        opened.store.close().unwrap();
        fs::remove_dir_all(&dir).unwrap();
        copy(&pristine, &dir);
    }
    assert!(replaced > 0, "nothing was hit");
}

#[test]
fn a_read_only_folder_is_told_with_what_to_do() {
    let Some(disk) = SmallDisk::mount("a_read_only_folder") else { return };
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).status().unwrap();
    assert!(remount.success());
    let error = Store::open(&disk.0.path().join("store")).unwrap_err().to_string();
    assert!(error.contains("needs a file system mounted for writing"), "{error}");
}
