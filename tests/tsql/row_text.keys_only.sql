-- @P1 bigint 7
SELECT n.[_op_] AS [operation], LEFT(CONVERT(nvarchar(max), n.[a]), 32000) AS [c1], LEFT(CONVERT(nvarchar(max), n.[b]), 32000) AS [c2] FROM [icesync].[stg_00000000000000ff_018f0000000070008000000000000001_net] AS n WHERE n.[_row] = @P1;
