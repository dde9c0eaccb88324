//! Keys of access tokens: made, loaded, rotated, refused.

use std::os::unix::fs::PermissionsExt;

use jsonwebtoken::Algorithm;

use super::*;
use crate::testing::temporary_folder;

const NOW: EpochMs = 1_790_000_000_000;

fn claims() -> Claims {
    let user = crate::testing::user(model::resource::Role::Owner);
    Claims::issue(&user, &user.id, NOW)
}

#[test]
fn reads_back_what_it_signed_until_it_expires() {
    let folder = temporary_folder();
    let keys = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
    let token = keys.sign(&claims()).unwrap();
    assert_eq!(keys.verify(&token, NOW), Ok(claims()));
    assert_eq!(keys.verify(&token, NOW + 899_999), Ok(claims()));
    let at_s = NOW / 1_000 + 900;
    assert_eq!(keys.verify(&token, NOW + 900_000), Err(TokenFault::Expired { at_s }));
}

#[test]
fn keeps_its_key_over_a_restart_and_lets_old_keys_verify_until_removed() {
    let folder = temporary_folder();
    let first = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
    let token = first.sign(&claims()).unwrap();
    let again = JwtKeys::load_or_create(folder.path(), NOW + 1).unwrap();
    assert_eq!(again.verify(&token, NOW), Ok(claims()));

    let old = first.list()[0].kid.clone();
    let made = again.rotate(NOW + 2).unwrap();
    assert_ne!(made.kid, old);
    assert_eq!(again.verify(&token, NOW), Ok(claims()));
    let pem = std::fs::read_to_string(folder.path().join(file_name(&old))).unwrap();
    assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----"), "only the public half is left: {pem}");
    let restarted = JwtKeys::load_or_create(folder.path(), NOW + 3).unwrap();
    assert_eq!(restarted.list(), again.list());
    assert_eq!(restarted.verify(&token, NOW), Ok(claims()));

    assert!(matches!(restarted.remove(&made.kid), Err(JwtKeysError::Refused(_))));
    assert_eq!((restarted.remove(&old).unwrap(), restarted.remove(&old).unwrap()), (true, false));
    assert_eq!(restarted.verify(&token, NOW), Err(TokenFault::UnknownKey));
    let retired = JwtKeys::load_or_create(folder.path(), NOW + 4).unwrap();
    assert_eq!(retired.verify(&token, NOW), Err(TokenFault::UnknownKey));
}

#[test]
fn refuses_other_algorithms_and_forged_signatures() {
    let folder = temporary_folder();
    let keys = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
    let stranger = JwtKeys::load_or_create(temporary_folder().path(), NOW).unwrap();
    let token = keys.sign(&claims()).unwrap();
    let parts: Vec<&str> = token.split('.').collect();

    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some(keys.list()[0].kid.clone());
    let confused =
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(b"public key")).unwrap();
    assert_eq!(keys.verify(&confused, NOW), Err(TokenFault::WrongAlgorithm));
    let unsigned = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    assert_eq!(keys.verify(&unsigned, NOW), Err(TokenFault::Malformed));
    let foreign = stranger.sign(&claims()).unwrap();
    assert_eq!(keys.verify(&foreign, NOW), Err(TokenFault::UnknownKey));
    let grafted = format!("{}.{}.{}", parts[0], parts[1], foreign.rsplit('.').next().unwrap());
    assert_eq!(keys.verify(&grafted, NOW), Err(TokenFault::Malformed));
    assert_eq!(keys.verify("rubbish", NOW), Err(TokenFault::Malformed));
}

#[test]
fn names_a_key_file_that_others_can_read_or_that_is_no_key() {
    let folder = temporary_folder();
    JwtKeys::load_or_create(folder.path(), NOW).unwrap();
    let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = JwtKeys::load_or_create(folder.path(), NOW).err().unwrap().to_string();
    assert!(error.contains("chmod 600") && error.contains("jwt-"), "{error}");

    std::fs::write(&path, "not a key").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = JwtKeys::load_or_create(folder.path(), NOW).err().unwrap().to_string();
    assert!(error.contains("not an Ed25519 or RSA key"), "{error}");
}

fn source(folder: &Path, algorithm: JwtAlgorithm) -> KeySource {
    KeySource { folder: folder.to_owned(), algorithm, ..KeySource::default() }
}

#[test]
fn signs_with_rsa_where_that_is_configured_and_accepts_nothing_else_then() {
    let folder = temporary_folder();
    let ed = JwtKeys::load_or_create(folder.path(), NOW).unwrap();
    let old = ed.sign(&claims()).unwrap();
    let rsa = JwtKeys::load(source(folder.path(), JwtAlgorithm::Rs256), NOW + 1).unwrap();
    let token = rsa.sign(&claims()).unwrap();
    assert_eq!(rsa.verify(&token, NOW), Ok(claims()));
    assert_eq!(rsa.verify(&old, NOW), Err(TokenFault::WrongAlgorithm));
    assert_eq!(ed.verify(&token, NOW), Err(TokenFault::WrongAlgorithm));
    rsa.rotate(NOW + 2).unwrap();
    assert_eq!(rsa.verify(&token, NOW), Ok(claims()), "the public half verifies");
    assert_eq!(rsa.list().len(), 2);
}

#[test]
fn key_files_that_are_named_must_be_there_and_closed_to_others() {
    let folder = temporary_folder();
    let named = |path: PathBuf, public_files: Vec<PathBuf>| {
        let source = source(&folder.path().join("none"), JwtAlgorithm::EdDsa);
        JwtKeys::load(KeySource { private_file: Some(path), public_files, ..source }, NOW)
    };
    let missing = folder.path().join("missing.pem");
    let error = named(missing.clone(), Vec::new()).err().unwrap().to_string();
    assert!(error.contains("missing.pem"), "{error}");
    let (mine, rsa) = (folder.path().join("mine.pem"), folder.path().join("rsa.pem"));
    key_files::create(&mine, JwtAlgorithm::EdDsa).unwrap();
    key_files::create(&rsa, JwtAlgorithm::Rs256).unwrap();
    assert!(named(mine.clone(), vec![missing]).is_err());
    assert!(matches!(named(rsa, Vec::new()), Err(JwtKeysError::OtherAlgorithm { .. })));
    let keys = named(mine.clone(), Vec::new()).unwrap();
    let token = keys.sign(&claims()).unwrap();
    assert_eq!(named(mine.clone(), Vec::new()).unwrap().verify(&token, NOW), Ok(claims()), "one kid");
    assert!(matches!(keys.rotate(NOW), Err(JwtKeysError::Refused(_))));
    assert!(!folder.path().join("none").exists(), "nothing is made where the keys are named");
    std::fs::set_permissions(&mine, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(named(mine, Vec::new()), Err(JwtKeysError::WorldReadable { .. })));
}
