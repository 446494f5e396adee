//! What the sink lists: blobs and blocks as XML, and what it reads of such.

use std::ops::Bound;

use crate::{Answer, Blob, Request, Store};

/// The most blobs on a page, as Azure has it.
const PAGE: usize = 5000;

pub fn list(request: &Request, store: &Store) -> Answer {
    let most = request.query("maxresults").parse().unwrap_or(PAGE).clamp(1, PAGE);
    let (prefix, delimiter) = (request.query("prefix"), request.query("delimiter"));
    let whole = format!("{}/{prefix}", request.container);
    let from = whole.clone().max(format!("{}/{}", request.container, request.query("marker")));
    let (mut rows, mut count, mut last_folder, mut next) = (String::new(), 0, String::new(), "");
    let blobs = store.blobs.range::<String, _>((Bound::Included(&from), Bound::Unbounded));
    for (path, blob) in blobs.take_while(|(path, _)| path.starts_with(&whole)) {
        let name = &path[request.container.len() + 1..];
        let folder = name[prefix.len()..].find(delimiter).filter(|_| !delimiter.is_empty());
        let folder = folder.map(|at| &name[..prefix.len() + at + delimiter.len()]);
        if folder.is_some_and(|folder| folder == last_folder) {
            continue;
        }
        if count == most {
            next = name;
            break;
        }
        count += 1;
        if let Some(folder) = folder {
            last_folder = folder.to_owned();
            rows += &format!("<BlobPrefix><Name>{}</Name></BlobPrefix>", escaped(folder));
            continue;
        }
        rows += &row(name, blob);
    }
    let head = format!("<EnumerationResults ServiceEndpoint=\"http://sink/\" ContainerName=\"{}\">", request.container);
    let echo = format!("<Prefix>{}</Prefix><MaxResults>{most}</MaxResults>", escaped(prefix));
    let end = format!("<NextMarker>{}</NextMarker></EnumerationResults>", escaped(next));
    Answer::xml(&format!("{head}{echo}<Blobs>{rows}</Blobs>{end}"))
}

fn row(name: &str, blob: &Blob) -> String {
    let mut said = (String::new(), String::new());
    for (key, value) in &blob.said {
        match key.strip_prefix("x-ms-meta-") {
            Some(key) => said.0 += &format!("<{key}>{}</{key}>", escaped(value)),
            None => said.1 += &format!("<{key}>{value}</{key}>"),
        }
    }
    format!(
        "<Blob><Name>{}</Name><Properties><Creation-Time>{1}</Creation-Time><Last-Modified>{1}</Last-Modified>\
         <Etag>{2}</Etag><Content-Length>{3}</Content-Length><Content-Type>application/octet-stream</Content-Type>{4}\
         <BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred>\
         <LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted>\
         </Properties><Metadata>{5}</Metadata></Blob>",
        escaped(name),
        blob.date,
        blob.tag.trim_matches('"'),
        blob.size,
        said.1,
        said.0
    )
}

pub fn block_list(request: &Request, store: &Store) -> Answer {
    let (waiting, blob) = (store.blocks.get(&request.path), store.blobs.get(&request.path));
    if waiting.is_none() && blob.is_none() {
        return Answer::error(404, "BlobNotFound", false);
    }
    let rows = |blocks: Vec<(&String, &u64)>| -> String {
        let block = |(id, size): (&String, &u64)| format!("<Block><Name>{id}</Name><Size>{size}</Size></Block>");
        blocks.into_iter().map(block).collect()
    };
    let kind = request.query("blocklisttype");
    let waiting = rows(waiting.filter(|_| !kind.is_empty() && kind != "committed").into_iter().flatten().collect());
    let blocks = blob.filter(|_| kind != "uncommitted").map(|blob| blob.blocks.iter().map(|(id, size)| (id, size)));
    let committed = rows(blocks.into_iter().flatten().collect());
    let parts = [("CommittedBlocks", committed), ("UncommittedBlocks", waiting)];
    let parts: String = parts.iter().map(|(name, rows)| format!("<{name}>{rows}</{name}>")).collect();
    let mut answer = Answer::xml(&format!("<BlockList>{parts}</BlockList>"));
    if let Some(blob) = blob {
        answer.headers = format!("ETag: {}\r\nLast-Modified: {}\r\n", blob.tag, blob.date);
    }
    answer
}

/// The ids between `<Latest>`, `<Committed>` or `<Uncommitted>` and its end, in order.
pub fn block_ids(xml: &str) -> Vec<String> {
    let parts = xml.split('<').filter_map(|part| part.split_once('>'));
    let ids = parts.filter(|(tag, _)| matches!(*tag, "Latest" | "Committed" | "Uncommitted"));
    ids.map(|(_, id)| id.trim().to_owned()).collect()
}

pub fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
