fn main() {
    use std::io::BufRead;
    let root = std::env::args().nth(1).unwrap();
    for path in std::io::stdin().lock().lines().map_while(Result::ok) {
        let doc = amlrun::language::load(
            &std::path::Path::new(&root).join(&path),
            &amlrun::language::Options {
                target: if std::env::args().nth(2).is_some() {
                    amlrun::language::Target::Local
                } else {
                    amlrun::language::Target::Azure
                },
                ..Default::default()
            },
        );
        let d: Vec<_> = doc.diagnostics.sorted().iter().map(|d| serde_json::json!({"code": d.code, "sev": format!("{:?}", d.severity), "msg": d.message, "line": d.span.map(|s| s.line), "path": d.path, "help": d.help})).collect();
        println!(
            "{}",
            serde_json::json!({"path": path, "ok": doc.accepted(), "d": d, "rest": doc.value.as_ref().and_then(|v| v.object()).map(|o| match amlrun::language::rest::body(o) { Ok(j) => j, Err(e) => serde_json::json!({"ERR": e}) })})
        );
    }
}
