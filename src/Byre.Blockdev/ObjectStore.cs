using Byre.Blockdev.Objects;
using Byre.Nbd.Tls;
using Byre.Nbd.Transport;
using Byre.Nodes;

namespace Byre.Blockdev;

/// <summary>
/// The objects that options refer to by their id (QEMU's --object): secrets, credentials for TLS, and rules that say who may
/// connect. Not for several threads at once while objects are added.
/// </summary>
public sealed class ObjectStore : IDisposable
{
    private readonly HashSet<string> ids = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TlsServerSecurity> servers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TlsClientSecurity> clients = new(StringComparer.Ordinal);
    private readonly Dictionary<string, IAuthorization> authorizations = new(StringComparer.Ordinal);

    /// <summary>The secrets among them.</summary>
    public SecretStore Secrets { get; } = new();

    /// <summary>Adds an object.</summary>
    /// <param name="definition">"TYPE,id=ID,OPTION=VALUE,...", or JSON with "qom-type" and "id".</param>
    /// <exception cref="BlockException">It is not valid, or a file that it names cannot be read; one line.</exception>
    public void Add(string definition)
    {
        ArgumentNullException.ThrowIfNull(definition);
        var options = new Dictionary<string, string>(StringComparer.Ordinal);
        string? type;
        if (definition.StartsWith('{'))
        {
            OptionTree.AddJson(options, definition);
            type = options.GetValueOrDefault("qom-type");
        }
        else
        {
            var comma = definition.IndexOf(',', StringComparison.Ordinal);
            type = comma < 0 ? definition : definition[..comma];
            OptionTree.AddList(options, comma < 0 ? "" : definition[(comma + 1)..]);
            type = type.StartsWith("qom-type=", StringComparison.Ordinal) ? type[9..] : type;
        }

        Add(type ?? "", options.GetValueOrDefault("id") ?? "", options);
    }

    /// <summary>Adds an object.</summary>
    /// <param name="type">Its type.</param>
    /// <param name="id">What it is referred to by.</param>
    /// <param name="options">Its options; "id" and "qom-type" among them are passed over.</param>
    /// <exception cref="BlockException">It is not valid, or a file that it names cannot be read; one line.</exception>
    public void Add(string type, string id, IReadOnlyDictionary<string, string> options)
    {
        ArgumentNullException.ThrowIfNull(type);
        ArgumentNullException.ThrowIfNull(id);
        ArgumentNullException.ThrowIfNull(options);
        if (!IsKnown(type))
        {
            throw new BlockException(ErrorCode.Invalid, $"there is no object type '{type}'");
        }

        if (id.Length == 0)
        {
            throw new BlockException(ErrorCode.Invalid, $"the '{type}' lacks an id");
        }

        if (ids.Contains(id))
        {
            throw new BlockException(ErrorCode.Exists, $"the id '{id}' is there twice");
        }

        var own = new ObjectOptions(type, id, options);
        switch (type)
        {
            case "secret":
                Secrets.Add(id, options);
                break;
            case "tls-creds-x509":
                AddCertificates(own);
                break;
            case "tls-creds-psk":
                AddKeys(own);
                break;
            case "authz-simple":
                authorizations.Add(id, SimpleAuthorization.Read(own));
                break;
            case "authz-list":
                authorizations.Add(id, ListAuthorization.Read(own));
                break;
            case "authz-list-file":
                authorizations.Add(id, FileAuthorization.Read(own));
                break;
            case "tls-creds-anon":
                AddAnonymous(own);
                break;
            case "authz-pam":
                throw own.Invalid("the system's authentication modules (PAM) are not supported");
        }

        ids.Add(id);
    }

    /// <summary>Credentials for a server.</summary>
    /// <param name="id">Their id.</param>
    /// <returns>They belong to the store.</returns>
    /// <exception cref="BlockException">There are none, or they are a client's.</exception>
    public IServerSecurity TlsServer(string id) =>
        servers.GetValueOrDefault(id) ?? throw NoCredentials(id, isForServer: true, clients.ContainsKey(id));

    /// <summary>Credentials for a client.</summary>
    /// <param name="id">Their id.</param>
    /// <returns>They belong to the store.</returns>
    /// <exception cref="BlockException">There are none, or they are a server's.</exception>
    public IClientSecurity TlsClient(string id) =>
        clients.GetValueOrDefault(id) ?? throw NoCredentials(id, isForServer: false, servers.ContainsKey(id));

    /// <summary>Rules that say who may connect.</summary>
    /// <param name="id">Their id.</param>
    /// <returns>
    /// Says whether a peer may: by the distinguished name of his certificate, or his user name; never one who has shown none. May
    /// be called by several threads at once.
    /// </returns>
    /// <exception cref="BlockException"><see cref="ErrorCode.NotFound"/>: there are none.</exception>
    public Func<string?, bool> Authorization(string id) => authorizations.TryGetValue(id, out var rules)
        ? name => name is not null && rules.Allows(name)
        : throw new BlockException(ErrorCode.NotFound, ids.Contains(id) ? $"Object '{id}' is no authorization" : $"No authorization with id '{id}'");

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var server in servers.Values)
        {
            server.Dispose();
        }

        foreach (var client in clients.Values)
        {
            client.Dispose();
        }

        Secrets.Dispose();
    }

    /// <summary>Those that do something here, and those of QEMU that have nothing to do here and are passed over.</summary>
    private static bool IsKnown(string type) => type is "secret" or "tls-creds-x509" or "tls-creds-psk" or "tls-creds-anon"
        or "authz-simple" or "authz-list" or "authz-list-file" or "authz-pam"
        or "iothread" or "main-loop" or "secret_keyring" or "throttle-group" or "tls-cipher-suites";

    private void AddCertificates(ObjectOptions options)
    {
        var isServer = IsServer(options);
        var certificates = new TlsX509Options
        {
            Directory = options.Take("dir") is { Length: > 0 } named ? named : throw options.Invalid("'dir' must name the directory of its certificates"),
            VerifyPeer = options.TakeSwitch("verify-peer") ?? true,
            SanityCheck = options.TakeSwitch("sanity-check") ?? true,
            Priority = options.Take("priority"),
            KeyPassphrase = options.Take("passwordid") is { } secret ? Secrets.Passphrase(secret) : null,
        };
        options.CheckEmpty();
        if (isServer)
        {
            servers.Add(options.Id, TlsServerSecurity.WithCertificates(certificates));
        }
        else
        {
            clients.Add(options.Id, TlsClientSecurity.WithCertificates(certificates));
        }
    }

    private void AddKeys(ObjectOptions options)
    {
        var isServer = IsServer(options);
        var directory = options.Take("dir") is { Length: > 0 } named ? named : throw options.Invalid("'dir' must name the directory of its file of keys");
        var user = options.Take("username");
        _ = options.TakeSwitch("verify-peer"); // who does not know the key cannot connect, whatever is wanted
        var keys = new TlsPskOptions
        {
            KeyFile = Path.Combine(directory, "keys.psk"),
            UserName = user ?? "qemu",
            DhParametersFile = Path.Combine(directory, "dh-params.pem"),
            Priority = options.Take("priority"),
        };
        options.CheckEmpty();
        if (isServer && user is not null)
        {
            throw options.Invalid("'username' is for a client");
        }

        if (isServer)
        {
            servers.Add(options.Id, TlsServerSecurity.WithKeys(keys));
        }
        else
        {
            clients.Add(options.Id, TlsClientSecurity.WithKeys(keys));
        }
    }

    private void AddAnonymous(ObjectOptions options)
    {
        var isServer = IsServer(options);
        _ = options.TakeSwitch("verify-peer"); // there is nothing to verify
        var anonymous = new TlsAnonymousOptions
        {
            DhParametersFile = options.Take("dir") is { } directory ? Path.Combine(directory, "dh-params.pem") : null,
            Priority = options.Take("priority"),
        };
        options.CheckEmpty();
        if (isServer)
        {
            servers.Add(options.Id, TlsServerSecurity.WithoutCredentials(anonymous));
        }
        else
        {
            clients.Add(options.Id, TlsClientSecurity.WithoutCredentials(anonymous));
        }
    }

    private static bool IsServer(ObjectOptions options) => options.Take("endpoint") switch
    {
        "server" => true,
        null or "client" => false,
        var other => throw options.Invalid($"its endpoint is server or client, not '{other}'"),
    };

    private BlockException NoCredentials(string id, bool isForServer, bool isOther) => new(
        isOther || ids.Contains(id) ? ErrorCode.Invalid : ErrorCode.NotFound,
        isOther ? $"TLS credentials '{id}' are for a {(isForServer ? "client, and a server needs endpoint=server" : "server, and a client needs endpoint=client")}"
        : ids.Contains(id) ? $"Object '{id}' is no TLS credentials"
        : $"No TLS credentials with id '{id}'");
}
