# tls-keys.sh DIRECTORY SERVER CLIENT: ca-cert.pem, and certificates with keys for a server and a client, as TLS credentials name
# them. SERVER and CLIENT are lines of certtool's templates: who each of them is.
set -e
cd "$1"
printf 'cn = authority\nca\ncert_signing_key\n' >ca.info
printf '%s\nip_address = 127.0.0.1\ntls_www_server\nencryption_key\nsigning_key\n' "$2" >server.info
printf '%s\ntls_www_client\nencryption_key\nsigning_key\n' "$3" >client.info
for k in ca server client; do certtool --generate-privkey --rsa --bits 2048 --outfile $k-key.pem; done
certtool --generate-self-signed --load-privkey ca-key.pem --template ca.info --outfile ca-cert.pem
for k in server client; do
  certtool --generate-certificate --load-ca-certificate ca-cert.pem --load-ca-privkey ca-key.pem --load-privkey $k-key.pem --template $k.info --outfile $k-cert.pem
done 2>&1
