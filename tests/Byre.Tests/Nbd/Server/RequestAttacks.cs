using Byre.Nbd.Protocol;
using Byre.Nbd.Server;
using static Byre.Tests.Nbd.Server.RawClient;

namespace Byre.Tests.Nbd.Server;

/// <summary>What a hostile client can do with an export.</summary>
internal static class RequestAttacks
{
    private const ulong Size = 1 << 20;

    private static readonly NbdServerOptions Narrow = new() { MaxInFlightRequests = 8, MaxInFlightBytes = 4 << 20 };

    public static Dictionary<string, Attack> All { get; } = new(StringComparer.Ordinal)
    {
        ["sends what is no request"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send(new byte[28]);
            client.ExpectEnd();
        }),
        ["sends compact requests where extended ones are due"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            client.Style = NbdHeaderStyle.Simple;
            client.SendRequest(NbdCommand.Read, 0, 512);
            client.SendRequest(NbdCommand.Read, 0, 512);
            client.ExpectEnd();
        }),
        ["sends extended requests where compact ones are due"] = Attack.Using(NbdHeaderStyle.Structured, client =>
        {
            client.Style = NbdHeaderStyle.Extended;
            client.SendRequest(NbdCommand.Read, 0, 512);
            client.ExpectEnd();
        }),
        ["sends options after the handshake"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send(OptionBytes(NbdOption.Go, GoData("disk")));
            client.ExpectEnd();
        }),
        ["goes in the middle of a request's head"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send(client.RequestBytes(NbdCommand.Write, 0, 512, 0, [], 1).AsSpan(0, 20));
            client.Dispose();
        }),
        ["goes in the middle of a short write"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send(client.RequestBytes(NbdCommand.Write, 0, 4096, 0, new byte[1000], 1));
            client.Dispose();
        }),
        ["goes in the middle of a long write"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send(client.RequestBytes(NbdCommand.Write, 0, Size, 0, new byte[500_000], 1));
            client.Dispose();
        }),
        ["stops in the middle of a long write and stays"] = Attack.Using(NbdHeaderStyle.Simple, client =>
            client.Send(client.RequestBytes(NbdCommand.Write, 0, Size, 0, new byte[500_000], 1))),
        ["ends its sending in the middle of a long write"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send(client.RequestBytes(NbdCommand.Write, 0, Size, 0, new byte[500_000], 1));
            client.Channel.ShutdownSend();
            client.ExpectEnd();
        }),
        ["announces writes of 32 MiB on 20 connections and sends nothing"] = new(disk =>
        {
            for (var i = 0; i < 20; i++)
            {
                disk.Use(NbdHeaderStyle.Simple).SendRequest(NbdCommand.Write, 0, 32 << 20);
            }
        }),
        ["writes 4 GiB less one byte"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.SendRequest(NbdCommand.Write, 0, uint.MaxValue);
            client.ExpectEnd();
        }),
        ["writes 40 MiB, which are refused and read"] = Attack.Using(NbdHeaderStyle.Simple, client =>
            Assert.Equal(NbdError.Invalid, client.WriteData(0, new byte[40 << 20]).Error)),
        ["announces 40 MiB, which are refused, and stops"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.SendRequest(NbdCommand.Write, 0, 40 << 20, 0, new byte[100_000]);
            Assert.Equal((uint)NbdError.Invalid, ReadU32(client.Read(16).AsSpan(4)));
        }),
        ["writes 2^63 bytes"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            client.SendRequest(NbdCommand.Write, 0, 1UL << 63, NbdCommandFlags.PayloadLength);
            client.ExpectEnd();
        }),
        ["sends 2^64-1 bytes with a question"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            client.SendRequest(NbdCommand.BlockStatus, 0, ulong.MaxValue, NbdCommandFlags.PayloadLength);
            client.ExpectEnd();
        }),
        ["writes past the end"] = Attack.Using(NbdHeaderStyle.Structured, client =>
        {
            foreach (var offset in (ulong[])[Size - 100, Size, 1UL << 40, 1UL << 63, ulong.MaxValue - 511, ulong.MaxValue])
            {
                Assert.Equal(NbdError.NoSpace, client.WriteData(offset, new byte[512]).Error);
                Assert.Equal(NbdError.NoSpace, client.WriteData(offset, new byte[200_000]).Error);
            }
        }),
        ["reads 2^64-1 bytes"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, 0, ulong.MaxValue).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, 1, ulong.MaxValue).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Read, ulong.MaxValue, ulong.MaxValue).Error);
        }),
        ["zeroes, trims and caches 2^64-1 bytes"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            Assert.Equal(NbdError.NoSpace, client.Request(NbdCommand.WriteZeroes, 512, ulong.MaxValue).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Trim, 512, ulong.MaxValue).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.Cache, 512, ulong.MaxValue).Error);
        }),
        ["sets every unknown flag"] = Attack.Using(NbdHeaderStyle.Structured, client =>
        {
            for (var bit = 6; bit < 16; bit++)
            {
                foreach (var command in (NbdCommand[])[NbdCommand.Read, NbdCommand.Trim, NbdCommand.WriteZeroes, NbdCommand.Cache])
                {
                    Assert.Equal(NbdError.Invalid, client.Request(command, 0, 512, (NbdCommandFlags)(1 << bit)).Error);
                }

                Assert.Equal(NbdError.Invalid, client.WriteData(0, new byte[512], (NbdCommandFlags)(1 << bit)).Error);
            }
        }),
        ["sends unknown commands"] = Attack.Using(NbdHeaderStyle.Structured, client =>
        {
            for (var command = 9; command < 0x10000; command += 331)
            {
                Assert.Equal(NbdError.Invalid, client.Request((NbdCommand)command, 0, 512).Error);
            }
        }),
        ["asks for the status without contexts"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 512).Error);
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 12, NbdCommandFlags.PayloadLength, [.. U64(512), .. U32(0)]).Error);
        }),
        ["asks for the status without structured replies"] = Attack.Using(NbdHeaderStyle.Simple, client =>
            Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, 0, 512).Error)),
        ["asks for the status of what is not there"] = Attack.Using(
            NbdHeaderStyle.Extended,
            client =>
            {
                foreach (var (offset, length) in new[] { (0UL, Size + 1), (Size, 1UL), (0UL, ulong.MaxValue), (ulong.MaxValue, 2UL), (1UL << 63, 1UL << 63), (0UL, 0UL) })
                {
                    Assert.Equal(NbdError.Invalid, client.Request(NbdCommand.BlockStatus, offset, length).Error);
                }
            },
            "base:allocation"),
        ["asks for the status of contexts that it has not"] = Attack.Using(
            NbdHeaderStyle.Extended,
            client =>
            {
                foreach (byte[] payload in new byte[][]
                {
                    [1], U64(512), [.. U64(512), .. U32(7)], [.. U64(512), .. U32(0), .. U32(0)], [.. U64(512), 0, 0, 0],
                    [.. U64(512), .. new byte[4000]], new byte[1 << 20],
                })
                {
                    Assert.Equal(NbdError.Invalid, client.Request(
                        NbdCommand.BlockStatus, 0, (ulong)payload.Length, NbdCommandFlags.PayloadLength, payload).Error);
                }
            },
            "base:allocation"),
        ["sends a payload with requests that take none"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            foreach (var command in (NbdCommand[])[NbdCommand.Read, NbdCommand.Flush, NbdCommand.Trim, NbdCommand.Cache, NbdCommand.WriteZeroes, (NbdCommand)77])
            {
                Assert.Equal(NbdError.Invalid, client.Request(command, 0, 100_000, NbdCommandFlags.PayloadLength, new byte[100_000]).Error);
            }
        }),
        ["never reads its long replies"] = new(disk => Flood(disk, Size)) { Options = Narrow },
        ["never reads its short replies"] = new(disk => Flood(disk, 512)) { Options = Narrow },
        ["never reads on 20 connections"] = new(disk =>
        {
            for (var i = 0; i < 20; i++)
            {
                Flood(disk, Size, 40);
            }
        }) { Options = Narrow },
        ["asks 1,000 times for the status and never reads"] = new(disk => Flood(
            disk.Use(NbdHeaderStyle.Extended, "base:allocation"), NbdCommand.BlockStatus, Size, 1000)) { Options = Narrow },
        ["goes with 200 reads in flight"] = new(disk =>
        {
            Flood(disk, Size, 200).Dispose();
            Flood(disk, 512, 200).Dispose();
        }),
        ["goes with writes in flight"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            for (var i = 0; i < 50; i++)
            {
                client.SendRequest(NbdCommand.Write, 0, 1000, 0, new byte[1000]);
            }

            client.Dispose();
        }) with { Written = 1000 },
        ["sends requests behind DISC"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.Send([
                .. client.RequestBytes(NbdCommand.Disconnect, 0, 0, 0, [], 1), .. client.RequestBytes(NbdCommand.Write, 0, 512, 0, new byte[512], 2)]);
            client.ExpectEnd();
        }),
        ["gives all requests one cookie"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            for (var i = 0; i < 50; i++)
            {
                client.Send(client.RequestBytes(NbdCommand.Read, 0, 512, 0, [], 5));
            }

            client.Read(50 * (16 + 512));
        }),
        ["sends a request byte by byte"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            foreach (var b in client.RequestBytes(NbdCommand.Read, 0, 512, 0, [], 5))
            {
                client.Send([b]);
                Thread.Sleep(5);
            }

            client.Read(16 + 512);
        }),
        ["ends its sending and reads on"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            client.SendRequest(NbdCommand.Read, 0, 512);
            client.Channel.ShutdownSend();
            client.Read(16 + 512);
            client.ExpectEnd();
        }),
        ["resizes what is not to be resized"] = Attack.Using(NbdHeaderStyle.Extended, client =>
        {
            foreach (var size in (ulong[])[0, 1, 1UL << 62, ulong.MaxValue])
            {
                Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Resize, size, 0).Error);
            }
        }),
        ["flushes 20,000 times at once"] = Attack.Using(NbdHeaderStyle.Simple, client =>
        {
            var all = Enumerable.Range(0, 20_000).SelectMany(i => client.RequestBytes(NbdCommand.Flush, 0, 0, 0, [], (ulong)i)).ToArray();
            var sending = Task.Run(() => client.Send(all));
            client.Read(20_000 * 16);
            sending.Wait();
        }),
        ["changes what is read-only"] = new Attack(disk =>
        {
            var client = disk.Use(NbdHeaderStyle.Structured);
            for (var i = 0; i < 20; i++)
            {
                Assert.Equal(NbdError.NotPermitted, client.WriteData(0, new byte[100_000]).Error);
                Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.WriteZeroes, 0, Size, NbdCommandFlags.FastZero).Error);
                Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Trim, 0, Size).Error);
                Assert.Equal(NbdError.NotPermitted, client.Request(NbdCommand.Resize, 0, 0).Error);
            }
        }) { IsReadOnly = true },
        ["sends random bytes"] = new(disk =>
        {
            var random = new Random(77);
            for (var i = 0; i < 30; i++)
            {
                var client = disk.Use((NbdHeaderStyle)(i % 3));
                var bytes = new byte[random.Next(1, 4000)];
                random.NextBytes(bytes);
                client.Send(bytes);
                client.Dispose();
            }
        }),
    };

    private static RawClient Flood(ServedDisk disk, ulong length, int requests = 5000) =>
        Flood(disk.Use(NbdHeaderStyle.Simple), NbdCommand.Read, length, requests);

    /// <summary>Sends requests until the server does not read on, and never reads a reply.</summary>
    private static RawClient Flood(RawClient client, NbdCommand command, ulong length, int requests)
    {
        client.Channel.SetSendTimeout(TimeSpan.FromMilliseconds(200));
        try
        {
            for (var i = 0; i < requests; i++)
            {
                client.SendRequest(command, 0, length);
            }
        }
        catch (IOException)
        {
            // That is the back-pressure that is wanted.
        }

        return client;
    }
}
