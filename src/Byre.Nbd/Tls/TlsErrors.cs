using System.Runtime.InteropServices;

namespace Byre.Nbd.Tls;

/// <summary>What OpenSSL has to say of a failure, in words. Its list of errors belongs to the calling thread.</summary>
internal static unsafe class TlsErrors
{
    /// <summary>Forgets what was noted of earlier calls of this thread.</summary>
    public static void Clear() => LibSsl.ERR_clear_error();

    /// <summary>The first thing that was noted since the list was cleared, which is emptied; null where there is none.</summary>
    public static string? Take()
    {
        string? words = null;
        for (var code = LibSsl.ERR_get_error(); code != 0; code = LibSsl.ERR_get_error())
        {
            words ??= Marshal.PtrToStringUTF8((nint)LibSsl.ERR_reason_error_string(code));
        }

        return words;
    }

    /// <summary>Why a certificate was not accepted.</summary>
    /// <param name="result">The result of its check: X509_V_ERR_...</param>
    public static string OfCertificate(nint result) =>
        Marshal.PtrToStringUTF8((nint)LibSsl.X509_verify_cert_error_string(result)) ?? $"error {result}";
}
