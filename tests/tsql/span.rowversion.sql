-- @P1 nvarchar "0x00000000000007D1"
-- @P2 nvarchar "0x00000000000007DA"
DECLARE @from binary(8) = TRY_CONVERT(binary(8), @P1, 1), @to binary(8) = TRY_CONVERT(binary(8), CONVERT(nvarchar(4000), NULL), 1), @bound binary(8) = CONVERT(binary(8), @P2, 1);
SELECT CONVERT(nvarchar(100), CONVERT(binary(8), @from), 1) AS lower, CONVERT(nvarchar(100), CONVERT(binary(8), @to), 1) AS upper, CASE WHEN @from >= @bound THEN 1 ELSE 0 END AS is_beyond, CASE WHEN @to >= @bound THEN 1 ELSE 0 END AS is_cut, CASE WHEN @from > @to THEN 1 ELSE 0 END AS is_crossed;
