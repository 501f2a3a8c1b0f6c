using System.Runtime.InteropServices;

namespace Byre.Nbd.Tls;

/// <summary>OpenSSL 3's TLS, and what of its certificates belongs to it. Functions that return a number return 1 for success, unless stated.</summary>
internal static unsafe partial class LibSsl
{
    internal const int Tls12 = 0x303;
    internal const int Tls13 = 0x304;

    /// <summary>SSL_CTRL_...: the commands of SSL_ctrl and SSL_CTX_ctrl.</summary>
    internal const int ControlMode = 33;
    internal const int ControlReadAhead = 41;
    internal const int ControlSessionCache = 44;
    internal const int ControlServerName = 55;
    internal const int ControlAutomaticDh = 118;
    internal const int ControlLeastVersion = 123;
    internal const int ControlMostVersion = 124;

    /// <summary>SSL_MODE_ENABLE_PARTIAL_WRITE, ACCEPT_MOVING_WRITE_BUFFER and RELEASE_BUFFERS.</summary>
    internal const int ModePartialWrite = 1;
    internal const int ModeMovingBuffer = 2;
    internal const int ModeReleaseBuffers = 16;

    /// <summary>SSL_OP_IGNORE_UNEXPECTED_EOF, NO_TICKET, NO_COMPRESSION, CIPHER_SERVER_PREFERENCE and NO_RENEGOTIATION.</summary>
    internal const ulong OptionIgnoreUnexpectedEnd = 1ul << 7;
    internal const ulong OptionNoTicket = 1ul << 14;
    internal const ulong OptionNoCompression = 1ul << 17;
    internal const ulong OptionServerPreference = 1ul << 22;
    internal const ulong OptionNoRenegotiation = 1ul << 30;

    internal const int VerifyNone = 0;
    internal const int VerifyPeer = 1;
    internal const int VerifyFailIfNoCertificate = 2;

    internal const int FilePem = 1;

    internal const int ErrorNone = 0;
    internal const int ErrorSsl = 1;
    internal const int ErrorWantRead = 2;
    internal const int ErrorWantWrite = 3;
    internal const int ErrorSystem = 5;
    internal const int ErrorZeroReturn = 6;

    internal const uint FlagCrlCheck = 4;
    internal const uint FlagPartialChain = 0x80000;

    /// <summary>X509_PURPOSE_SSL_CLIENT and X509_PURPOSE_SSL_SERVER.</summary>
    internal const int PurposeClient = 1;
    internal const int PurposeServer = 2;

    private const string Ssl = "libssl.so.3";
    private const string Crypto = "libcrypto.so.3";

    [LibraryImport(Ssl)]
    internal static partial nint TLS_method();

    [LibraryImport(Ssl)]
    internal static partial nint SSL_CTX_new(nint method);

    [LibraryImport(Ssl)]
    internal static partial void SSL_CTX_free(nint context);

    [LibraryImport(Ssl)]
    internal static partial nint SSL_CTX_ctrl(nint context, int command, nint number, nint pointer);

    [LibraryImport(Ssl)]
    internal static partial ulong SSL_CTX_set_options(nint context, ulong options);

    [LibraryImport(Ssl)]
    internal static partial int SSL_CTX_set_num_tickets(nint context, nuint count);

    [LibraryImport(Ssl)]
    internal static partial void SSL_CTX_set_default_read_buffer_len(nint context, nuint length);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int SSL_CTX_set_cipher_list(nint context, string list);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int SSL_CTX_set_ciphersuites(nint context, string list);

    [LibraryImport(Ssl)]
    internal static partial void SSL_CTX_set_verify(nint context, int mode, nint callback);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int SSL_CTX_load_verify_file(nint context, string path);

    [LibraryImport(Ssl)]
    internal static partial int SSL_CTX_set_default_verify_paths(nint context);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial nint SSL_load_client_CA_file(string path);

    /// <summary>Takes the list over.</summary>
    [LibraryImport(Ssl)]
    internal static partial void SSL_CTX_set_client_CA_list(nint context, nint names);

    [LibraryImport(Ssl, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int SSL_CTX_use_certificate_chain_file(nint context, string path);

    [LibraryImport(Ssl)]
    internal static partial int SSL_CTX_use_PrivateKey(nint context, nint key);

    [LibraryImport(Ssl)]
    internal static partial int SSL_CTX_check_private_key(nint context);

    [LibraryImport(Ssl)]
    internal static partial int SSL_CTX_set0_tmp_dh_pkey(nint context, nint key);

    /// <summary>Belongs to the context.</summary>
    [LibraryImport(Ssl)]
    internal static partial nint SSL_CTX_get_cert_store(nint context);

    /// <summary>Belongs to the context.</summary>
    [LibraryImport(Ssl)]
    internal static partial nint SSL_CTX_get0_certificate(nint context);

    /// <summary>SSL_CTX_get0_chain_certs: the other certificates of the own chain, which belong to the context.</summary>
    [LibraryImport(Ssl, EntryPoint = "SSL_CTX_ctrl")]
    internal static partial nint SSL_CTX_get_chain(nint context, int command, nint number, nint* chain);

    [LibraryImport(Ssl)]
    internal static partial void SSL_CTX_set_psk_server_callback(
        nint context, delegate* unmanaged[Cdecl]<nint, byte*, byte*, uint, uint> callback);

    [LibraryImport(Ssl)]
    internal static partial void SSL_CTX_set_psk_client_callback(
        nint context, delegate* unmanaged[Cdecl]<nint, byte*, byte*, uint, byte*, uint, uint> callback);

    [LibraryImport(Ssl)]
    internal static partial nint SSL_new(nint context);

    [LibraryImport(Ssl)]
    internal static partial void SSL_free(nint session);

    [LibraryImport(Ssl)]
    internal static partial nint SSL_ctrl(nint session, int command, nint number, byte* pointer);

    [LibraryImport(Ssl)]
    internal static partial int SSL_set_fd(nint session, int descriptor);

    [LibraryImport(Ssl)]
    internal static partial int SSL_set_ex_data(nint session, int index, nint value);

    [LibraryImport(Ssl)]
    internal static partial nint SSL_get_ex_data(nint session, int index);

    [LibraryImport(Ssl)]
    internal static partial void SSL_set_accept_state(nint session);

    [LibraryImport(Ssl)]
    internal static partial void SSL_set_connect_state(nint session);

    [LibraryImport(Ssl, SetLastError = true)]
    internal static partial int SSL_do_handshake(nint session);

    [LibraryImport(Ssl, SetLastError = true)]
    internal static partial int SSL_read(nint session, byte* buffer, int length);

    [LibraryImport(Ssl, SetLastError = true)]
    internal static partial int SSL_write(nint session, byte* buffer, int length);

    [LibraryImport(Ssl, SetLastError = true)]
    internal static partial int SSL_shutdown(nint session);

    [LibraryImport(Ssl)]
    internal static partial int SSL_get_error(nint session, int result);

    [LibraryImport(Ssl)]
    internal static partial nint SSL_get_verify_result(nint session);

    /// <summary>Belongs to the session.</summary>
    [LibraryImport(Ssl)]
    internal static partial nint SSL_get0_peer_certificate(nint session);

    /// <summary>Belongs to the session.</summary>
    [LibraryImport(Ssl)]
    internal static partial nint SSL_get0_param(nint session);

    [LibraryImport(Crypto, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int X509_VERIFY_PARAM_set1_host(nint parameters, string name, nuint length);

    [LibraryImport(Crypto, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int X509_VERIFY_PARAM_set1_ip_asc(nint parameters, string address);

    [LibraryImport(Crypto)]
    internal static partial int X509_STORE_set_flags(nint store, uint flags);

    [LibraryImport(Crypto)]
    internal static partial nint X509_STORE_add_lookup(nint store, nint method);

    [LibraryImport(Crypto)]
    internal static partial nint X509_LOOKUP_file();

    /// <summary>How many lists were read; 0 for failure.</summary>
    [LibraryImport(Crypto, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int X509_load_crl_file(nint lookup, string path, int type);

    [LibraryImport(Crypto)]
    internal static partial nint X509_STORE_CTX_new();

    [LibraryImport(Crypto)]
    internal static partial void X509_STORE_CTX_free(nint check);

    [LibraryImport(Crypto)]
    internal static partial int X509_STORE_CTX_init(nint check, nint store, nint certificate, nint chain);

    [LibraryImport(Crypto)]
    internal static partial int X509_STORE_CTX_set_purpose(nint check, int purpose);

    [LibraryImport(Crypto)]
    internal static partial int X509_STORE_CTX_get_error(nint check);

    [LibraryImport(Crypto)]
    internal static partial int X509_verify_cert(nint check);

    /// <summary>A sentence that belongs to the library.</summary>
    [LibraryImport(Crypto)]
    internal static partial byte* X509_verify_cert_error_string(nint error);

    /// <summary>Belongs to the certificate.</summary>
    [LibraryImport(Crypto)]
    internal static partial nint X509_get_subject_name(nint certificate);

    /// <summary>The length of the name's bytes, which are written where the pointer is not null; below 0 for failure.</summary>
    [LibraryImport(Crypto)]
    internal static partial int i2d_X509_NAME(nint name, byte** target);

    [LibraryImport(Crypto)]
    internal static partial nint BIO_new_mem_buf(byte* bytes, int length);

    [LibraryImport(Crypto)]
    internal static partial int BIO_free(nint bio);

    /// <summary>A key, or 0. Without a callback, the last argument is a passphrase that ends with a zero byte.</summary>
    [LibraryImport(Crypto)]
    internal static partial nint PEM_read_bio_PrivateKey(nint bio, nint key, nint callback, byte* passphrase);

    /// <summary>Parameters for an exchange of keys, or 0.</summary>
    [LibraryImport(Crypto)]
    internal static partial nint PEM_read_bio_Parameters(nint bio, nint key);

    [LibraryImport(Crypto)]
    internal static partial void EVP_PKEY_free(nint key);

    [LibraryImport(Crypto)]
    internal static partial nuint ERR_get_error();

    /// <summary>A few words that belong to the library, or null.</summary>
    [LibraryImport(Crypto)]
    internal static partial byte* ERR_reason_error_string(nuint error);

    [LibraryImport(Crypto)]
    internal static partial void ERR_clear_error();
}
