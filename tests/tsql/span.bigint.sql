-- @P1 nvarchar "1"
-- @P2 nvarchar "20"
-- @P3 nvarchar "42"
DECLARE @from bigint = TRY_CONVERT(bigint, @P1), @to bigint = TRY_CONVERT(bigint, @P2), @bound bigint = CONVERT(bigint, @P3);
SELECT CONVERT(nvarchar(100), @from) AS lower, CONVERT(nvarchar(100), @to) AS upper, CASE WHEN @from > @bound THEN 1 ELSE 0 END AS is_beyond, CASE WHEN @to > @bound THEN 1 ELSE 0 END AS is_cut, CASE WHEN @from > @to THEN 1 ELSE 0 END AS is_crossed;
