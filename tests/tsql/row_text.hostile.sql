-- @P1 bigint 7
SELECT n.[_op_] AS [operation], LEFT(CONVERT(nvarchar(max), n.[k]]]), 32000) AS [c1], LEFT(CONVERT(nvarchar(max), n.['when'], 121), 32000) AS [c2], LEFT(CONVERT(nvarchar(max), n.[[_rank]]]), 32000) AS [c3], LEFT(CONVERT(nvarchar(max), n.[_op]), 32000) AS [c4] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE n.[_row] = @P1;
