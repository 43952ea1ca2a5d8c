mod states;
#[test]
fn make() {
    let seed: u64 = std::env::var("SEED").unwrap().parse().unwrap();
    let dir = std::path::PathBuf::from(format!("/tmp/h/state-{seed}"));
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    states::make(seed, &dir).unwrap();
}
