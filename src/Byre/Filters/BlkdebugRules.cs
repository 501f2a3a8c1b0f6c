using Byre.Nodes;

namespace Byre.Filters;

/// <summary>
/// The rule engine of the blkdebug driver. An event first arms errors: where at least one error rule matches the event
/// and the state, the matching rules replace those armed before; then it changes the state. All rules of an event see the
/// state from before it. Of the armed rules the first that matches a request decides.
/// </summary>
internal sealed class BlkdebugRules
{
    private readonly Lock gate = new();
    private readonly List<BlkdebugErrorRule> errors;
    private readonly List<BlkdebugStateRule> states;
    private List<BlkdebugErrorRule> armed = [];
    private int state = 1;

    public BlkdebugRules(BlkdebugOptions options)
    {
        errors = [.. options.Errors];
        states = [.. options.States];
        OnEvent(BlkdebugEvent.None);
    }

    /// <summary>The state number; 1 at first.</summary>
    public int State
    {
        get
        {
            lock (gate)
            {
                return state;
            }
        }
    }

    /// <summary>Arms errors and changes the state.</summary>
    public void OnEvent(BlkdebugEvent happened)
    {
        lock (gate)
        {
            List<BlkdebugErrorRule>? matching = null;
            foreach (var rule in errors)
            {
                if (rule.Event == happened && (rule.State == 0 || rule.State == state))
                {
                    (matching ??= []).Add(rule);
                }
            }

            armed = matching ?? armed;
            foreach (var rule in states)
            {
                if (rule.Event == happened && (rule.State == 0 || rule.State == state))
                {
                    state = rule.NewState;
                    break;
                }
            }
        }
    }

    /// <summary>The errno with which a request is to fail, or 0.</summary>
    public int Check(BlkdebugIoTypes type, long offset, long length)
    {
        lock (gate)
        {
            for (var i = 0; i < armed.Count; i++)
            {
                var rule = armed[i];
                if (rule.Matches(type, offset, length))
                {
                    if (rule.Once)
                    {
                        armed.RemoveAt(i);
                        errors.Remove(rule);
                    }

                    return rule.Errno;
                }
            }

            return 0;
        }
    }
}
