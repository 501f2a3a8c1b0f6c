using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Byre.Nodes;

namespace Byre.Nbd.Tls;

/// <summary>
/// One session's handshake with keys that both sides know: OpenSSL asks for the key, and what was found is remembered. A session
/// carries a handle to its exchange as "application data"; all happens on the thread that runs the handshake.
/// </summary>
/// <param name="options">Where the keys are, and a client's name.</param>
internal sealed unsafe class PskExchange(TlsPskOptions options)
{
    /// <summary>A key that nobody knows is as long as this.</summary>
    private const int DecoyBytes = 32;

    /// <summary>The user that the client has named; the handshake says whether he is it.</summary>
    public string? UserName { get; private set; }

    /// <summary>Why there is no key, or null.</summary>
    public string? Failure { get; private set; }

    /// <summary>The key for the user that a client names (psk_server_callback): its length, or 0 for none.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static uint FindForServer(nint session, byte* identity, byte* key, uint most)
    {
        // No exception may leave: the caller is no managed code.
        if (Of(session) is not { } exchange)
        {
            return 0;
        }

        try
        {
            exchange.UserName = Marshal.PtrToStringUTF8((nint)identity) ?? "";
            var room = new Span<byte>(key, checked((int)most));
            var length = exchange.Find(exchange.UserName, room);
            if (length == 0 && room.Length >= DecoyBytes)
            {
                // Nobody can tell from the answer which users there are.
                RandomNumberGenerator.Fill(room[..DecoyBytes]);
                length = DecoyBytes;
            }

            return (uint)length;
        }
        catch (Exception e)
        {
            exchange.Failure = e.Message;
            return 0;
        }
    }

    /// <summary>A client's name and key (psk_client_callback): the key's length, or 0 for none.</summary>
    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    public static uint FindForClient(nint session, byte* hint, byte* identity, uint mostIdentity, byte* key, uint most)
    {
        if (Of(session) is not { } exchange)
        {
            return 0;
        }

        try
        {
            var room = new Span<byte>(identity, checked((int)mostIdentity));
            if (!Encoding.UTF8.TryGetBytes(exchange.Name, room[..^1], out var length))
            {
                exchange.Failure = $"the user name is longer than {room.Length - 1} bytes";
                return 0;
            }

            room[length] = 0;
            return (uint)exchange.Find(exchange.Name, new Span<byte>(key, checked((int)most)));
        }
        catch (Exception e)
        {
            exchange.Failure = e.Message;
            return 0;
        }
    }

    private string Name => options.UserName;

    private static PskExchange? Of(nint session)
    {
        var data = LibSsl.SSL_get_ex_data(session, 0);
        return data == 0 ? null : GCHandle.FromIntPtr(data).Target as PskExchange;
    }

    /// <summary>The length of the key, or 0 for none.</summary>
    private int Find(string user, Span<byte> room)
    {
        try
        {
            using var key = PskKeyFile.Find(options.KeyFile, user);
            if (key is null || key.Length > room.Length)
            {
                Failure = $"there is no key for the user '{user}'";
                return 0;
            }

            key.Span.CopyTo(room);
            return key.Length;
        }
        catch (BlockException e)
        {
            Failure = e.Message;
            return 0;
        }
    }
}
