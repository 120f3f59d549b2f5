#!/usr/bin/env escript
%% heap.escript - a heap of Erlang with holes that reports its own statistics.
%%
%% Prints one line of JSON: the pid, and for each allocator the size of the carriers that it has mapped, and of
%% those in its pool. Then it waits until its standard input ends. With `churn` it allocates all the time instead,
%% until it is killed.
%%
%% Run:  escript heap.escript [churn]
-mode(compile).

%% Without eheap_alloc: the heaps of processes change while this runs.
-define(ALLOCATORS, [binary_alloc, ets_alloc, literal_alloc, driver_alloc, fix_alloc, ll_alloc,
                     sl_alloc, std_alloc, temp_alloc]).

main(Arguments) ->
    Table = ets:new(table, [public]),
    [ets:insert(Table, {Key, lists:seq(1, Key rem 60)}) || Key <- lists:seq(1, 60000)],
    [ets:delete(Table, Key) || Key <- lists:seq(1, 60000), Key rem 3 =/= 0],
    Kept = [binary:copy(<<"block">>, 20 + Key rem 4000) || Key <- lists:seq(1, 6000), Key rem 3 =:= 0],
    Large = [binary:copy(<<"large">>, 200000) || _ <- lists:seq(1, 10)],
    List = lists:seq(1, 500000),
    erlang:garbage_collect(),
    Figures = lists:join($,, [figures(Allocator) || Allocator <- ?ALLOCATORS]),
    io:format("{\"pid\":~s,\"allocators\":{~s}}~n", [os:getpid(), Figures]),
    case Arguments of
        ["churn"] -> churn(0);
        [] -> io:get_line("")
    end,
    %% All of it is in use until here.
    io:format(standard_error, "~p", [erlang:phash2({Table, Kept, Large, List}) div (1 bsl 28)]).

figures(Allocator) ->
    Instances = erlang:system_info({allocator, Allocator}),
    Kinds = [{Kind, Figures} || {instance, _, Instance} <- Instances, {Kind, Figures} <- Instance],
    Sum = fun(Kind, Key) ->
                  lists:sum([element(2, Figure) || {Of, Figures} <- Kinds, Of =:= Kind, Figure <- Figures,
                                                   element(1, Figure) =:= Key])
          end,
    Mapped = Sum(mbcs, mseg_alloc_carriers_size) + Sum(sbcs, mseg_alloc_carriers_size),
    io_lib:format("\"~s\":{\"mapped\":~w,\"pooled\":~w}", [Allocator, Mapped, Sum(mbcs_pool, carriers_size)]).

churn(Count) ->
    _ = [binary:copy(<<"block">>, 20 + Key rem 40000) || Key <- lists:seq(1, 500)],
    churn(Count + 1).
