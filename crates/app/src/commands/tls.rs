//! `minkang tls`: certificates for trials.

use std::path::PathBuf;

use clap::Subcommand;

/// 监听地址的 TLS 证书
#[derive(Debug, Subcommand)]
pub enum TlsCommand {
    /// 生成自签名证书和私钥，供试用；正式使用请换成证书机构签发的证书
    SelfSigned {
        /// 证书里的域名或 IP 地址，可多次给出
        #[arg(long = "name", default_values = ["localhost", "127.0.0.1"])]
        names: Vec<String>,
        /// 写到这个目录（cert.pem、key.pem）
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
}

/// Runs the command.
#[allow(clippy::print_stdout)] // the command's output
pub fn run(command: TlsCommand) -> anyhow::Result<()> {
    let TlsCommand::SelfSigned { names, out } = command;
    let made = rcgen::generate_simple_self_signed(names)?;
    std::fs::create_dir_all(&out)?;
    let (certificate, key) = (out.join("cert.pem"), out.join("key.pem"));
    if key.exists() {
        anyhow::bail!("{} 已存在，没有覆盖。请换一个目录，或先移走它。", key.display());
    }
    std::fs::write(&certificate, made.cert.pem())?;
    write_private(&key, &made.signing_key.serialize_pem())?;
    println!("证书  {}", certificate.display());
    println!("私钥  {}", key.display());
    println!("启动  minkang serve --tls-cert {} --tls-key {}", certificate.display(), key.display());
    println!("自签名证书只供试用：浏览器会提示不受信任。");
    Ok(())
}

/// Writes a file that nobody else on the machine may read.
fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_trial_certificate_serves_and_its_key_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().to_path_buf();
        let command = || TlsCommand::SelfSigned { names: vec!["localhost".into()], out: out.clone() };
        run(command()).unwrap();
        let key = out.join("key.pem");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let files = web::serve::TlsFiles { certificate: out.join("cert.pem"), key, client_authorities: None };
        assert!(web::serve::Tls::open(files).is_ok());
        assert!(run(command()).is_err(), "a key is never overwritten");
    }
}
