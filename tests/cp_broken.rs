//! Copies that are broken off, in whatever way: nothing that is half there has a name, and the next one goes on.

use std::process::Stdio;
use std::sync::mpsc::channel;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::azurite::{ACCOUNT, Azurite};
use crate::between::{Act, Between, Seen};
use crate::blobs::{content, copied, files, project};
use crate::support::{Project, Ran};

const MIB: usize = 1 << 20;

/// A container that is reached through a proxy.
struct Road {
    azurite: &'static Azurite,
    between: Between,
    project: Project,
    url: String,
}

impl Road {
    fn to(name: &str) -> Self {
        let azurite = Azurite::shared();
        azurite.container(name);
        let between = Between::start(&azurite.address());
        let root = format!("http://{}/{ACCOUNT}", between.address);
        Self { azurite, project: project(&root), url: format!("{root}/{name}"), between }
    }

    /// Starts a copy, lets so many requests of a kind pass, and ends it with a signal while the next one waits.
    fn breaks(&self, from: &str, to: &str, kind: fn(&Seen) -> bool, passing: usize, signal: Signal) -> Ran {
        let (held, happens) = channel();
        let ended = held.clone();
        let mut passed = 0;
        self.between.rule(move |seen| {
            if !kind(seen) {
                return Act::Pass;
            }
            passed += 1;
            if passed <= passing {
                return Act::Pass;
            }
            let _ = held.send(None);
            Act::Hold
        });
        let mut command = self.project.command(&["cp", from, to, "--transfer-jobs", "1"]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let id = Pid::from_raw(child.id().try_into().unwrap());
        std::thread::spawn(move || ended.send(Some(child.wait_with_output().unwrap())));
        if let Some(output) = happens.recv().unwrap() {
            panic!("it ended before: {}", String::from_utf8_lossy(&output.stderr));
        }
        kill(id, signal).unwrap();
        let output = happens.iter().find_map(|output| output).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    fn passes(&self) {
        self.between.rule(|_| Act::Pass);
    }
}

#[test]
fn an_upload_that_was_killed_goes_on_with_the_blocks_that_are_missing() {
    let road = Road::to("upload-killed");
    let bytes = content(40 * MIB + 5, 1);
    road.project.write("d/small", "1");
    std::fs::write(road.project.path("big"), &bytes).unwrap();
    let to = format!("{}/big", road.url);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        road.breaks("big", &to, Seen::is_block, 2, signal);
        assert!(road.azurite.list("upload-killed").is_empty(), "half of it is there");
    }
    road.passes();
    let told = copied(&road.project, "big", &to);
    assert_eq!(road.between.count(Seen::is_block), 6 - 4, "all six blocks but those that went before");
    // Which of them those are is a matter of chance, and the last is a short one.
    assert!(told["transferred_bytes"].as_u64().unwrap() <= (16 * MIB) as u64, "{told}");
    assert!(road.azurite.get("upload-killed", "big") == bytes);
}

#[test]
fn a_download_that_was_killed_goes_on_with_the_parts_that_are_missing() {
    let road = Road::to("download-killed");
    let bytes = content(21 * MIB, 1);
    road.azurite.put("download-killed", "big", &bytes);
    let from = format!("{}/big", road.url);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        road.breaks(&from, "got/", Seen::is_read, 2, signal);
        assert!(!road.project.path("got/big").exists(), "half of it has its name");
    }
    road.passes();
    let told = copied(&road.project, &from, "got/");
    assert_eq!(road.between.count(Seen::is_read), 6 - 4, "all six parts but those that came before");
    assert_eq!(told["transferred_bytes"], bytes.len() - 4 * 4 * MIB);
    assert!(std::fs::read(road.project.path("got/big")).unwrap() == bytes);
    assert_eq!(std::fs::read_dir(road.project.path("got")).unwrap().count(), 1, "nothing else stays");
}

#[test]
fn ctrl_c_ends_it_with_130_and_the_same_command_goes_on() {
    let road = Road::to("interrupted");
    for number in 0..20 {
        road.azurite.put("interrupted", &format!("d/{number}"), &content(1000, number));
    }
    let from = format!("{}/d", road.url);
    let ran = road.breaks(&from, "got", Seen::is_read, 8, Signal::SIGINT).ended(130);
    assert!(ran.err.contains("run the same command again to resume"), "{}", ran.err);
    let whole = files(&road.project.path("got"));
    assert!(whole.len() < 20 && whole.values().all(|bytes| bytes.len() == 1000), "{:?}", whole.keys());
    road.passes();
    let told = copied(&road.project, &from, "got");
    assert_eq!((&told["skipped_files"], &told["files"]), (&whole.len().into(), &20.into()));
    assert_eq!(files(&road.project.path("got")).len(), 20, "nothing else stays");
    // And on this machine.
    std::fs::write(road.project.path("up"), content(20 * MIB, 1)).unwrap();
    let to = format!("{}/up", road.url);
    road.breaks("up", &to, Seen::is_block, 1, Signal::SIGINT).ended(130);
    assert!(!road.azurite.list("interrupted").contains(&"up".to_owned()));
}

#[test]
fn answers_that_break_off_in_the_middle_are_gone_on_with() {
    let road = Road::to("cut");
    let bytes = content(9 * MIB, 1);
    road.azurite.put("cut", "big", &bytes);
    road.azurite.put("cut", "small", &bytes[..MIB]);
    let mut cuts = 0;
    road.between.rule(move |seen| {
        cuts += 1;
        match (seen.is_read(), cuts % 3) {
            (true, 0) => Act::CutAnswer(300_000),
            (true, 1) => Act::Cut,
            _ => Act::Pass,
        }
    });
    copied(&road.project, &road.url, "got");
    assert!(std::fs::read(road.project.path("got/big")).unwrap() == bytes);
    assert!(std::fs::read(road.project.path("got/small")).unwrap() == bytes[..MIB]);
    // On the way up: blocks, lists of blocks and small files.
    let mut cuts = 0;
    road.between.rule(move |seen| {
        cuts += usize::from(seen.method == "PUT");
        if seen.method == "PUT" && cuts % 2 == 1 { Act::Cut } else { Act::Pass }
    });
    copied(&road.project, "got", &format!("{}/up", road.url));
    assert!(road.azurite.get("cut", "up/big") == bytes);
    assert!(road.azurite.get("cut", "up/small") == bytes[..MIB]);
}

#[test]
fn an_answer_to_the_last_request_that_is_lost_is_no_failure() {
    let road = Road::to("lost-answer");
    let bytes = content(9 * MIB, 1);
    std::fs::write(road.project.path("big"), &bytes).unwrap();
    let azurite = road.azurite;
    let mut lost = false;
    road.between.rule(move |seen| {
        if lost || !seen.target.contains("comp=blocklist") || seen.method != "PUT" {
            return Act::Pass;
        }
        lost = true;
        // The service has done it, and the client hears of trouble.
        let ids = seen.body.clone();
        azurite.send("PUT", "lost-answer/big?comp=blocklist", &seen.metadata(), &ids);
        Act::Status(500, "")
    });
    copied(&road.project, "big", &format!("{}/big", road.url));
    assert!(azurite.get("lost-answer", "big") == bytes);
}

#[test]
fn a_blob_that_changes_while_it_is_read_is_one_version_or_the_other() {
    let road = Road::to("changes-midway");
    let (old, new) = (content(13 * MIB, 1), content(12 * MIB, 2));
    road.azurite.put("changes-midway", "big", &old);
    let (azurite, changed) = (road.azurite, new.clone());
    let mut reads = 0;
    road.between.rule(move |seen| {
        reads += usize::from(seen.is_read());
        if seen.is_read() && reads == 3 {
            azurite.put("changes-midway", "big", &changed);
        }
        Act::Pass
    });
    copied(&road.project, &format!("{}/big", road.url), "got/");
    assert!(std::fs::read(road.project.path("got/big")).unwrap() == new);
    assert_eq!(std::fs::read_dir(road.project.path("got")).unwrap().count(), 1, "nothing else stays");
    // One that always changes is told.
    let mut seed = 2;
    road.between.rule(move |seen| {
        if seen.is_read() {
            seed += 1;
            azurite.put("changes-midway", "big", &content(12 * MIB, seed));
        }
        Act::Pass
    });
    let ran = road.project.amlrun(&["cp", &format!("{}/big", road.url), "again"]);
    crate::blobs::refused(ran, 1, &["keeps changing"]);
    assert!(!road.project.path("again").exists());
}

#[test]
fn two_at_once_into_the_same_place_both_end_well() {
    let road = Road::to("two-at-once");
    let bytes = content(17 * MIB, 1);
    road.azurite.put("two-at-once", "d/big", &bytes);
    for number in 0..30 {
        road.azurite.put("two-at-once", &format!("d/{number}"), &content(1000, number));
    }
    let from = format!("{}/d", road.url);
    let start = || {
        let mut command = road.project.command(&["cp", &from, "got"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for both in [[start(), start()]] {
        for child in both {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let got = files(&road.project.path("got"));
    assert_eq!(got.len(), 31, "{:?}", got.keys());
    assert!(got["big"] == bytes && (0..30).all(|number| got[&number.to_string()] == content(1000, number)));
}

/// Azurite knows no CRC64 and says so; that is no failure, even when only the head of its answer arrives.
#[test]
fn a_service_that_knows_no_crc_is_asked_without() {
    let road = Road::to("no-crc");
    let bytes = content(9 * MIB, 1);
    std::fs::write(road.project.path("big"), &bytes).unwrap();
    let asks = |seen: &Seen| seen.head.contains("crc64");
    road.between.rule(move |seen| if asks(seen) { Act::CutAnswer(10) } else { Act::Pass });
    copied(&road.project, "big", &format!("{}/big", road.url));
    assert!(road.between.count(asks) > 0);
    road.between.rule(move |seen| if asks(seen) { Act::CutAnswer(10) } else { Act::Pass });
    copied(&road.project, &format!("{}/big", road.url), "back");
    assert!(road.between.count(asks) > 0 && std::fs::read(road.project.path("back")).unwrap() == bytes);
}
